//! Routes: which trunks a call leaves by, where the conf says more than whose number it shows.

use super::trunk::rank::Rank;
use crate::base::number::{RealNumber, Shown, Tel};
use crate::masking::route::Plan;

/// Which numbers a route is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// This one.
    Exact(Tel),
    /// All that begin with these digits: in E.164, national ones as they are dialled nationally.
    Prefix(Box<str>),
}

impl Pattern {
    /// How narrow it is: one number is narrower than any prefix, and a long prefix than a short one.
    fn narrowness(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Prefix(digits) => digits.len(),
        }
    }

    fn takes_shown(&self, shown: Shown) -> bool {
        match (self, shown) {
            (Self::Exact(tel), Shown::Virtual(x)) => x.tel() == *tel,
            (Self::Prefix(digits), Shown::Virtual(x)) => x.tel().digits().starts_with(&**digits),
            // No number of ours is shown.
            (_, Shown::Real(..) | Shown::Withheld) => false,
        }
    }

    fn takes_called(&self, called: RealNumber) -> bool {
        match self {
            Self::Exact(tel) => called.is(*tel),
            Self::Prefix(digits) => called.starts_with(digits),
        }
    }
}

/// For which calls a route is; what isn't said is any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// The number shown.
    pub shown: Option<Pattern>,
    /// The number called.
    pub callee: Option<Pattern>,
    /// The binding's account.
    pub account: Option<Box<str>>,
}

/// One `[[route]]` of the conf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// For which calls it is.
    pub of: Match,
    /// The trunks, by their places in the conf.
    pub trunks: Vec<(Rank, usize)>,
}

/// What a route looks at.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'p> {
    /// What the called party sees.
    pub shown: Shown,
    /// Who is called.
    pub called: RealNumber,
    /// The binding's account.
    pub account: &'p str,
}

impl<'p> Leaving<'p> {
    /// What this plan's call is to a route.
    pub fn of(plan: &'p Plan) -> Self {
        Self {
            shown: plan.shown(),
            called: plan.called(),
            account: plan.binding().account(),
        }
    }
}

impl Match {
    fn takes(&self, leaving: Leaving<'_>) -> bool {
        let is_shown = |pattern: &Pattern| pattern.takes_shown(leaving.shown);
        let is_called = |pattern: &Pattern| pattern.takes_called(leaving.called);
        self.shown.as_ref().is_none_or(is_shown)
            && self.callee.as_ref().is_none_or(is_called)
            && self
                .account
                .as_ref()
                .is_none_or(|name| **name == *leaving.account)
    }

    /// How much it says: of the number shown first, then of the one called, then of the account.
    fn narrowness(&self) -> (usize, usize, bool) {
        let of = |pattern: &Option<Pattern>| pattern.as_ref().map_or(0, Pattern::narrowness);
        (of(&self.shown), of(&self.callee), self.account.is_some())
    }
}

/// The route of a call: the most specific one that takes it, of equals the one that stands first in the conf.
pub fn route_of<'r>(routes: &'r [Route], leaving: Leaving<'_>) -> Option<&'r Route> {
    let taking = routes.iter().filter(|route| route.of.takes(leaving));
    // Of equals `max_by_key` takes the last.
    taking.rev().max_by_key(|route| route.of.narrowness())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::number::{NumberPlan, VirtualNumber};

    fn tel(text: &str) -> Tel {
        NumberPlan::default().normalise(text).expect("a number")
    }

    fn pattern(text: &str) -> Pattern {
        match text.strip_suffix('*') {
            Some(digits) => Pattern::Prefix(digits.into()),
            None => Pattern::Exact(tel(text)),
        }
    }

    fn route(shown: &str, callee: &str, account: &str) -> Route {
        let said = |text: &str| (!text.is_empty()).then(|| pattern(text));
        Route {
            of: Match {
                shown: said(shown),
                callee: said(callee),
                account: (!account.is_empty()).then(|| account.into()),
            },
            trunks: Vec::new(),
        }
    }

    /// Which of `routes` takes a call to `called` that shows 17000000001.
    fn taken(routes: &[Route], called: &str, account: &str) -> Option<usize> {
        let leaving = Leaving {
            shown: Shown::Virtual(VirtualNumber::new(tel("17000000001"))),
            called: RealNumber::new(tel(called)),
            account,
        };
        let route = route_of(routes, leaving)?;
        routes.iter().position(|other| std::ptr::eq(other, route))
    }

    #[test]
    fn the_most_specific_route_wins_and_the_number_shown_counts_most() {
        let routes = [
            route("", "", ""),
            route("", "", "gold"),
            route("", "852*", ""),
            route("", "8525*", ""),
            route("86170*", "", ""),
            route("17000000001", "", ""),
            route("17000000001", "852*", ""),
            route("17000000002", "852*", "gold"),
        ];
        for (called, account, count, wanted) in [
            ("13900000002", "default", 1, Some(0)),
            ("13900000002", "gold", 2, Some(1)),
            ("+85251234567", "gold", 3, Some(2)),
            ("+85251234567", "gold", 4, Some(3)),
            ("+85251234567", "gold", 5, Some(4)),
            ("+85251234567", "gold", 6, Some(5)),
            ("+85251234567", "gold", 8, Some(6)),
            ("13900000002", "gold", 8, Some(5)),
            ("13900000002", "gold", 0, None),
        ] {
            assert_eq!(
                taken(&routes[..count], called, account),
                wanted,
                "{called} {account}"
            );
        }
    }

    #[test]
    fn of_equally_specific_routes_the_first_one_counts() {
        let routes = [
            route("", "852*", ""),
            route("", "139*", ""),
            route("", "852*", ""),
        ];
        assert_eq!(taken(&routes, "+85251234567", "default"), Some(0));
        assert_eq!(taken(&routes, "13900000002", "default"), None);
        let routes = [route("", "86139*", ""), route("", "852*", "")];
        assert_eq!(taken(&routes, "13900000002", "default"), Some(0));
    }
}
