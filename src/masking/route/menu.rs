//! Whom the answer to a 400 number's menu leads to.

use std::sync::Arc;

use super::{Attempt, Case, Decision, Refusal, is_one_of_ours};
use crate::base::limits::RING_EACH_DEFAULT;
use crate::base::number::RealNumber;
use crate::masking::binding::{Binding, Party};
use crate::masking::collect::Wants;
use crate::masking::menu::Choice;
use crate::masking::reason::Reason;
use crate::masking::turns::Turn;

impl Case<'_> {
    /// The caller is asked to choose, if there is room for his call.
    pub(super) fn ask_choice(&self, binding: Arc<Binding>, party: Party) -> Result<Decision, Refusal> {
        let found = Some((binding, party));
        let menu = found
            .as_ref()
            .and_then(|(binding, _)| binding.terms.rare().menu.clone());
        let (Some(menu), Some(pool)) = (menu, &self.pool) else {
            return self.refuse(Reason::Internal, found);
        };
        self.ask(pool, Wants::Choice(menu), found)
    }
}

/// Who rings first by what the caller has chosen, and who does after him.
///
/// # Errors
/// [`Reason::NoBinding`]: there is no such answer. [`Reason::SelfCall`] and [`Reason::Loop`]: it leads to nobody but the
/// caller himself, or to numbers that are ours by now.
pub(super) fn chosen(
    case: &Case<'_>,
    binding: &Binding,
    attempt: &Attempt,
) -> Result<(RealNumber, Option<Turn>), Reason> {
    let rare = binding.terms.rare();
    let choice = rare.menu.as_ref().and_then(|menu| menu.choice(attempt.digits));
    let Choice { to, .. } = choice.ok_or(Reason::NoBinding)?;
    let is_caller = |number: &RealNumber| attempt.caller.is_some_and(|caller| number.is(caller));
    let others = to.iter().filter(|number| !is_one_of_ours(case.table, **number));
    let ring: Arc<[RealNumber]> = others.filter(|number| !is_caller(number)).copied().collect();
    match *ring {
        [] if to.iter().any(is_caller) => Err(Reason::SelfCall),
        [] => Err(Reason::Loop),
        [one] => Ok((one, None)),
        [first, ..] => {
            let each = rare.ring_timeout.unwrap_or(RING_EACH_DEFAULT);
            Ok((first, Some(Turn::first(ring, each))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::binding::{Direction, Mode, Rare, Terms};
    use super::super::super::keyed::Keyed;
    use super::super::super::menu::Menu;
    use super::super::super::request::{BindRequest, MenuRefused, Refused, TermsChange, UpdateRequest};
    use super::super::super::support::{A, B, C, World, axb, inbound, real, tel, x};
    use super::super::{Audience, as_asked, claim, explain, redirected, route};
    use super::*;
    use crate::base::id::Id;
    use crate::base::number::{NumberPlan, Shown};

    const X: &str = "4001234567";
    const D: &str = "13600000004";

    fn keyed(text: &str) -> Keyed {
        text.parse().expect("keys")
    }

    fn menu(choices: &[(&str, &[&str])], default: Option<&str>) -> Menu {
        Menu {
            prompt: "welcome".into(),
            choices: choices
                .iter()
                .map(|(keys, to)| Choice {
                    keys: keyed(keys),
                    to: to.iter().map(|number| real(number)).collect(),
                })
                .collect(),
            default: default.map(keyed),
        }
    }

    fn asks(menu: Menu) -> BindRequest {
        let rare = Rare {
            menu: Some(Arc::new(menu)),
            ..Rare::default()
        };
        BindRequest {
            terms: Terms::new(Direction::Both, false, rare),
            ..inbound(X, A)
        }
    }

    fn world() -> (World, Id) {
        let mut world = World::new();
        world.pool(Mode::Inbound, &[X, "17000000061"]);
        let menu = menu(
            &[("1", &[A]), ("21", &[B, D]), ("*", &[B]), ("#", &[D])],
            Some("1"),
        );
        let id = world.try_bind(asks(menu)).expect("free keys").id;
        (world, id)
    }

    fn keys(world: &World, caller: &str, digits: &str) -> Decision {
        let attempt = Attempt {
            digits: keyed(digits),
            ..world.attempt(X, caller)
        };
        route(&world.table, &attempt)
    }

    /// Who rings, the first one first.
    fn led(decision: Decision) -> Result<Vec<RealNumber>, Reason> {
        match decision {
            Decision::Connect(plan) => {
                assert_eq!(plan.shown(), Shown::Virtual(x(A)), "as without a menu");
                let others = plan.others().iter().copied();
                Ok(std::iter::once(plan.called()).chain(others).collect())
            }
            Decision::Collect(collect) => panic!("{collect:?}"),
            Decision::Ask(question) => panic!("{question:?}"),
            Decision::Refuse(refusal) => Err(refusal.reason),
        }
    }

    #[test]
    fn whoever_dials_is_asked_and_reaches_whom_his_answer_leads_to() {
        let (world, id) = world();
        let Decision::Collect(collect) = world.call(X, C) else {
            panic!("he is asked")
        };
        let found = collect.found().expect("the one binding");
        assert_eq!((found.0.id, found.1), (id, Party::N));
        let wants = collect.wants();
        let whole = ["", "1", "2", "21", "9"].map(|digits| wants.is_whole(digits));
        assert_eq!(whole, [false, true, false, true, true]);
        assert_eq!(wants.meant_by(Keyed::Nothing), keyed("1"));
        assert_eq!(wants.meant_by(keyed("9")), keyed("9"));
        assert_eq!(led(keys(&world, C, "1")), Ok(vec![real(A)]));
        assert_eq!(led(keys(&world, C, "21#")), Ok(vec![real(B), real(D)]));
        assert_eq!(led(keys(&world, C, "*")), Ok(vec![real(B)]));
        assert_eq!(led(keys(&world, C, "#")), Ok(vec![real(D)]));
        for wrong in ["2", "9", "211", "01"] {
            assert_eq!(led(keys(&world, C, wrong)), Err(Reason::NoBinding), "{wrong}");
        }
        // The number behind X chooses like anybody.
        assert_eq!(led(keys(&world, A, "*")), Ok(vec![real(B)]));
    }

    #[test]
    fn nobody_rings_for_his_own_call_nor_by_a_number_that_became_ours() {
        let (mut world, _) = world();
        assert_eq!(led(keys(&world, B, "21")), Ok(vec![real(D)]));
        assert_eq!(led(keys(&world, B, "*")), Err(Reason::SelfCall));
        world.add(D);
        assert_eq!(led(keys(&world, C, "21")), Ok(vec![real(B)]));
        assert_eq!(led(keys(&world, C, "#")), Err(Reason::Loop));
    }

    #[test]
    fn a_menu_that_changes_while_somebody_chooses_is_as_it_was_when_he_came() {
        let (mut world, id) = world();
        world.later(10);
        let came = Attempt {
            digits: keyed("21"),
            ..world.attempt(X, C)
        };
        world.later(10);
        let update = UpdateRequest {
            terms: TermsChange {
                menu: Some(Some(menu(&[("21", &[A])], None))),
                ..TermsChange::default()
            },
            ..UpdateRequest::of(id)
        };
        world.update(update).expect("a live binding");
        assert_eq!(led(route(&world.table, &came)), Ok(vec![real(B), real(D)]));
        assert_eq!(led(keys(&world, C, "21")), Ok(vec![real(A)]));
        world.later(10);
        let none = UpdateRequest {
            terms: TermsChange {
                menu: Some(None),
                ..TermsChange::default()
            },
            ..UpdateRequest::of(id)
        };
        world.update(none).expect("a live binding");
        assert_eq!(led(world.call(X, C)), Ok(vec![real(A)]), "the number behind it");
        assert_eq!(led(route(&world.table, &came)), Ok(vec![real(B), real(D)]));
    }

    #[test]
    fn his_seat_is_the_one_that_he_had_while_he_chose() {
        let (world, _) = world();
        let (asked, seat) = claim(&world.table, world.call(X, C), None);
        assert!(matches!(asked, Decision::Collect(_)));
        let (decision, seat) = claim(&world.table, keys(&world, C, "1"), seat);
        assert_eq!(
            (led(decision), world.table.calls_at_once()),
            (Ok(vec![real(A)]), 1)
        );
        drop(seat);
        assert_eq!(world.table.calls_at_once(), 0);
    }

    #[test]
    fn what_there_is_to_choose_is_told_in_words() {
        let (world, _) = world();
        let plan = NumberPlan::default();
        let told = |attempt: &Attempt| {
            let told = explain(
                &world.table,
                &as_asked(&world.table, attempt),
                &plan,
                Audience::Masked,
            );
            told.sentences.last().cloned().expect("a sentence")
        };
        let asked = world.attempt(X, C);
        assert_eq!(
            told(&asked),
            "137****0003 hears welcome and chooses: 1 for 138****0001; 21 for 139****0002, then 136****0004; \
             * for 139****0002; # for 136****0004. To key nothing is as good as 1."
        );
        let with = |digits| Attempt {
            digits: keyed(digits),
            ..asked
        };
        assert_eq!(
            told(&with("#")),
            "The call goes to 136****0004, who sees 13800000001."
        );
        assert_eq!(told(&with("9")), "137****0003 is not bound on 4001234567.");
    }

    #[test]
    fn a_menu_is_refused_where_it_does_not_belong_or_leads_to_a_number_of_ours() {
        let (mut world, _) = world();
        let pair = BindRequest {
            terms: asks(menu(&[("1", &[A])], None)).terms,
            ..axb(super::super::super::support::X, A, B)
        };
        let refused = world.try_bind(pair).expect_err("no 400 binding");
        assert_eq!((refused.code(), refused.field()), ("not_of_mode", Some("menu")));
        let own = BindRequest {
            x: axb("17000000061", A, A).x,
            ..asks(menu(&[("1", &["17000000061"])], None))
        };
        let refused = world.try_bind(own.clone()).expect_err("a number of ours");
        assert_eq!((refused.code(), refused.field()), ("own_number", Some("menu")));
        assert_eq!(
            refused.sentence(&NumberPlan::default()),
            "menu.choices: 1 leads to 170****0061, a number of this server: name a real one"
        );
        let help = BindRequest {
            terms: asks(menu(&[("1", &[A, "120"])], None)).terms,
            ..own.clone()
        };
        let refused = world.try_bind(help).expect_err("an emergency number");
        assert_eq!((refused.code(), refused.field()), ("out_of_bounds", Some("menu")));
        let (keys, number) = (keyed("1"), real("120"));
        assert_eq!(refused, Refused::Menu(MenuRefused::Emergency { keys, number }));
        let twice = BindRequest {
            terms: asks(menu(&[("1", &[A]), ("11", &[B])], None)).terms,
            ..own
        };
        let refused = world.try_bind(twice).expect_err("1 is whole before 11");
        let (keys, other) = (keyed("1"), keyed("11"));
        assert_eq!(refused, Refused::Menu(MenuRefused::Begins { keys, other }));
        assert_eq!(
            refused.sentence(&NumberPlan::default()),
            "menu.choices: 11 begins with 1, which is whole before it: give one of them other keys"
        );
    }

    #[test]
    fn a_call_that_shows_a_number_that_is_not_ours_is_sent_on_by_nobody() {
        const OURS: &str = "17000000061";
        let outside = "057188880000";
        // Behind the 400 number is its base, or another to whom the menu leads.
        for (answer, display, sent_on) in [
            ("1", None, Err(Reason::Rejected)),
            ("*", None, Err(Reason::Rejected)),
            ("1", Some(outside), Err(Reason::Rejected)),
            ("*", Some(outside), Err(Reason::Rejected)),
            ("1", Some(OURS), Ok(real("13500000005"))),
            ("*", Some(OURS), Ok(real("13500000005"))),
        ] {
            let (mut world, id) = world();
            let mut update = UpdateRequest::of(id);
            update.terms.display = Some(display.map(x));
            world.update(update).expect("a display");
            world.later(10);
            let Decision::Connect(plan) = keys(&world, C, answer) else {
                panic!("an answer that leads to somebody")
            };
            let plan = redirected(&world.table, &plan, tel("13500000005"));
            assert_eq!(
                plan.map(|plan| plan.called()),
                sent_on,
                "{answer}, shown {display:?}"
            );
        }
    }
}
