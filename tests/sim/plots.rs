//! Who else is bound: groups, work numbers, 400 numbers.

use super::{Amend, Binding, Deed, Person, Plot};
use crate::support::stage::Stage;

impl Plot {
    /// Members call one person who isn't one, or he them; they come and go meanwhile.
    pub(super) fn group(&mut self, pair: u32, other: &Person, stranger: &Person) {
        let mode = ["axg", "gxb", "gxyb"][self.chance.below(3) as usize];
        let [x, y] = [5, 6].map(|tens| format!("170000000{tens}{pair}"));
        let [a, b] = self.two(pair);
        for number in [&x, &y] {
            self.cast.stage.own_in(mode, number);
        }
        let y = if mode == "gxyb" { y } else { String::new() };
        // Where the members stand on B's side, the one is A.
        let (members, one) = if mode == "axg" { (&b, &a) } else { (&a, &b) };
        let mut binding = Binding {
            mode: mode.into(),
            x: x.clone(),
            y: y.clone(),
            members: vec![members.number.clone(), other.number.clone()],
            ..self.terms()
        };
        if mode == "axg" {
            binding.a = one.number.clone();
        } else {
            binding.b = one.number.clone();
            if self.one_in(2) {
                binding.default = members.number.clone();
            }
        }
        self.cast.stage.bind(&binding);
        let theirs = if y.is_empty() { x.clone() } else { y };
        for _ in 0..2 + self.chance.below(3) {
            match self.chance.below(6) {
                0 => self.call(stranger.index, &theirs),
                1 => self.call(other.index, &theirs),
                2 => self.call(one.index, &theirs),
                3 => self.call(one.index, &x),
                _ => self.call(members.index, &theirs),
            }
        }
        for _ in 0..self.chance.below(4) {
            let who = self.some(&[members, other, stranger, one]).number.clone();
            let is_in = self.one_in(2);
            self.plan(60_000, Deed::Regroup(x.clone(), who, is_in));
        }
        for _ in 0..self.chance.below(3) {
            let at = self.chance.below(60_000);
            let to = self.some(&[members, other, stranger]).number.clone();
            self.plans.push((at, Deed::Name(x.clone(), Some(to))));
            self.plans
                .push((at + self.chance.below(3_000), Deed::Call(one.index, x.clone())));
        }
        match self.chance.below(4) {
            0 => self.plan(60_000, Deed::Bind(binding)),
            1 if mode == "axg" => {
                self.plan(60_000, Deed::Amend(x.clone(), Amend::A(stranger.number.clone())))
            }
            1 => self.plan(60_000, Deed::Amend(x.clone(), Amend::B(stranger.number.clone()))),
            _ => {}
        }
        self.owner(&x);
    }

    /// Many behind one number, each by an extension that callers key.
    pub(super) fn extensions(&mut self, pair: u32, other: &Person, stranger: &Person) {
        let x = format!("1700000009{pair}");
        let [a, b] = self.two(pair);
        self.cast.stage.own_in("axe", &x);
        let behind = |a: &Person, e: &str| Binding {
            mode: "axe".into(),
            x: x.clone(),
            a: a.number.clone(),
            e: e.into(),
            ..Binding::default()
        };
        self.cast.stage.bind(&behind(&a, "0012"));
        self.plan(30_000, Deed::Join(behind(other, "0034")));
        for _ in 0..2 + self.chance.below(3) {
            let caller = self.some(&[&b, &b, stranger, other, &a]).index;
            self.call(caller, &x);
        }
        if self.one_in(3) {
            let to = self.some(&[&b, stranger]).number.clone();
            self.plan(60_000, Deed::Name(x.clone(), Some(to)));
        }
        if self.one_in(3) {
            self.plan(60_000, Deed::Bind(behind(&b, "0012")));
        }
        self.owner(&x);
    }

    /// Customers call an employee, for whom others ring, or he the one who was paired with him last.
    pub(super) fn work(&mut self, pair: u32, other: &Person, stranger: &Person) {
        let x = format!("1700000007{pair}");
        let [a, b] = self.two(pair);
        self.cast.stage.own_in("xb", &x);
        let mut work = Binding {
            mode: "xb".into(),
            x: x.clone(),
            b: b.number.clone(),
            direction: None,
            ..self.terms()
        };
        if self.one_in(2) {
            work.ring = vec![other.number.clone(), stranger.number.clone()];
            work.order = ["conditional", "unconditional"][self.chance.below(2) as usize].into();
        }
        self.cast.stage.bind(&work);
        let paired = |a: &Person| Binding {
            mode: "xb".into(),
            x: x.clone(),
            a: a.number.clone(),
            ..Binding::default()
        };
        self.cast.stage.bind(&paired(&a));
        for _ in 0..self.chance.below(3) {
            let customer = self.some(&[other, stranger, &a]).clone();
            self.plan(60_000, Deed::Join(paired(&customer)));
        }
        for _ in 0..3 + self.chance.below(3) {
            let caller = self.some(&[&a, &a, &b, other, stranger]).index;
            self.call(caller, &x);
        }
        if self.one_in(2) {
            let to = self.some(&[&a, other]).number.clone();
            self.plan(60_000, Deed::Name(x.clone(), Some(to)));
        }
        if self.one_in(4) {
            self.plan(60_000, Deed::Bind(work));
        }
        self.owner(&x);
    }

    /// Anyone calls what is behind a 400 number.
    pub(super) fn hotline(&mut self, pair: u32, other: &Person, stranger: &Person) {
        let x = format!("1700000008{pair}");
        let [a, b] = self.two(pair);
        self.cast.stage.own_in("400", &x);
        let binding = Binding {
            mode: "400".into(),
            x: x.clone(),
            a: a.number.clone(),
            direction: None,
            ..self.terms()
        };
        self.cast.stage.bind(&binding);
        for _ in 0..2 + self.chance.below(3) {
            let caller = self.some(&[&b, other, stranger, &a]).index;
            self.call(caller, &x);
        }
        match self.chance.below(3) {
            0 => self.plan(60_000, Deed::Amend(x.clone(), Amend::A(b.number))),
            1 => self.plan(60_000, Deed::Bind(binding)),
            _ => {}
        }
        self.owner(&x);
    }
}
