//! The customer's server of the simulator: what it says is scripted, and comes as advice.

use std::time::Duration;

use serde_json::Value;
use umbra::base::number::VirtualNumber;
use umbra::base::url::HttpUrl;
use umbra::call::ask::{Advice, Inquiry, Silence};
use umbra::call::port::{AskId, Input};
use umbra::masking::ask::{NumbersTold, Secret};
use umbra::masking::binding::Mode;
use umbra::masking::request::{AskChange, PoolChange, Write};

use super::super::customer::{SECRET, Script};
use super::{What, World, must};

/// How long an answer takes that takes no longer.
const SOON: Duration = Duration::from_millis(20);

/// The server, and what it was asked.
#[derive(Debug)]
pub struct Customer {
    pub(super) script: Script,
    pub(super) asked: Vec<Value>,
    /// How many processes of ours have died: nobody hears what they asked.
    pub(super) deaths: usize,
}

impl Default for Customer {
    fn default() -> Self {
        Self {
            script: Script::Nothing,
            asked: Vec::new(),
            deaths: 0,
        }
    }
}

impl World {
    /// A number of the X pool, whose server is told numbers so.
    pub fn asks_for(&mut self, x: &str, numbers: &str) {
        let told = NumbersTold::NAMES.iter().find(|(name, _)| *name == numbers);
        let (_, told) = told.expect("a way to tell numbers");
        if self.table.pool(Mode::X.name()).is_none() {
            must(self.write(&Write::add_pool(Mode::X.name(), Mode::X)));
        }
        let ask = AskChange {
            url: Some(Some(
                HttpUrl::parse("http://customer.example/ask").expect("a URL"),
            )),
            secret: Some(Secret::new(SECRET)),
            numbers: Some(*told),
        };
        must(self.write(&Write::SetPool {
            pool: Mode::X.name().into(),
            name: None,
            settings: Box::new(PoolChange {
                ask,
                ..PoolChange::default()
            }),
        }));
        let x = VirtualNumber::new(self.tel(x));
        if !self.table.is_ours(x.tel()) {
            must(self.write(&Write::add_number_to(Some(Mode::X.name()), x)));
            self.law.own(x.tel());
        }
    }

    /// A question comes to the server.
    pub(super) fn inquired(&mut self, shard: usize, id: AskId, inquiry: &Inquiry) {
        let question = serde_json::from_slice(&inquiry.body).expect("a question is JSON");
        self.customer.asked.push(question);
        let none = |why| vec![(SOON, Advice::None(why))];
        let answers = match &self.customer.script {
            Script::Says(body, after) => vec![(SOON + *after, Advice::read(body.as_bytes()))],
            Script::Twice(body) => vec![(SOON, Advice::read(body.as_bytes())); 2],
            // Whoever asks gives up; so does the call, by itself.
            Script::Nothing | Script::Drips => Vec::new(),
            Script::Gone => none(Silence::Connect),
            Script::Status(_) => none(Silence::Status),
            Script::Redirect => none(Silence::Redirect),
            Script::Long => none(Silence::TooLong),
            Script::Breaks => none(Silence::Broken),
        };
        for (after, advice) in answers {
            self.later(after, What::Advised(self.customer.deaths, shard, id, advice));
        }
    }

    /// An answer comes to whoever has asked, if that process is still there.
    pub(super) fn advised(&mut self, deaths: usize, shard: usize, id: AskId, advice: Advice) {
        if deaths == self.customer.deaths {
            self.give(shard, Input::Advice(id, advice));
        }
    }
}
