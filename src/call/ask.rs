//! X mode: a call waits for what the customer's server says of it.
//!
//! The caller has its 100 and hears nothing yet. The question leaves by [`Output::Ask`], and its answer comes as
//! [`Input::Advice`](super::port::Input::Advice): judged as of the call's arrival, taken once, and only while the call
//! waits. The wait is bounded here, whatever becomes of the question outside.

mod advice;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

pub use self::advice::{Advice, Close, Connect, Silence};
use super::admit::{Came, Places};
use super::announce::Says;
use super::arrive::Arrival;
use super::cdr::Cdr;
use super::config::Config;
use super::draft::Draft;
use super::hands::{CallRef, CallTimer, Hands};
use super::noted;
use super::phase::{Call, End, Through, Wire};
use super::port::{AskId, CallEntry, Output};
use super::prompts::Home;
use super::switch::Switch;
use super::trunk::Trunk;
use super::warrant::Warrant;
use crate::base::id::Id;
use crate::base::limits::ASK_WAIT;
use crate::base::number::{NumberPlan, RealNumber};
use crate::base::time::Now;
use crate::masking::ask::{BadName, Named, NumbersTold, Question, Server};
use crate::masking::binding::{Direction, Rare, Terms};
use crate::masking::cues::Cues;
use crate::masking::reason::Reason;
use crate::masking::route::{self, Plan};
use crate::masking::table::Table;
use crate::rtp::clip::Clip;
use crate::sip::path::Transport;

/// A question on its way to a customer's server.
#[derive(Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Who is asked.
    pub server: Arc<Server>,
    /// Its own id, the same for every try: what the header `Umbra-Id` says.
    pub id: Id,
    /// The call.
    pub call_id: Id,
    /// What is said, as JSON: written once, since what signs it signs its bytes.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Inquiry {
    /// The body names the caller.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry")
            .field("server", &self.server)
            .field("call_id", &self.call_id)
            .finish_non_exhaustive()
    }
}

impl Inquiry {
    /// What `server` is asked about a call to a number of its pool, by the account that has both.
    pub fn new(id: Id, call_id: Id, question: &Question, plan: &NumberPlan) -> Self {
        let number = question.number();
        let server = question.server().clone();
        let caller = question
            .calling()
            .and_then(|calling| told(calling, server.numbers, plan));
        let body = json!({
            "id": id.to_string(),
            "type": "call.ask",
            "at": question.arrived().to_string(),
            "account": number.account,
            "call_id": call_id.to_string(),
            "seq": 1,
            "data": {
                "pool": number.pool,
                "x": plan.virtual_text(number.x).as_str(),
                "caller": caller,
            },
        });
        Self {
            server,
            id,
            call_id,
            body: body.to_string().into_bytes(),
        }
    }
}

/// A real number as a customer's server is told it.
fn told(number: RealNumber, how: NumbersTold, plan: &NumberPlan) -> Option<String> {
    match how {
        NumbersTold::None => None,
        NumbersTold::Masked => Some(format!("{number:?}")),
        NumbersTold::Full => Some(plan.record(number.reveal()).to_string()),
    }
}

/// A call that waits for an answer: what it needs to go on.
#[derive(Debug)]
pub struct Asking {
    question: Question,
    arrival: Arrival,
    /// Whose wire it came by.
    trunk: Box<str>,
    source: IpAddr,
    transport: Transport,
}

/// By which name the shell brings a call's answer back.
const fn ask_id(me: CallRef) -> AskId {
    AskId((me.generation as u64) << 32 | me.index as u64)
}

impl Switch {
    /// A call goes its way: it gets its place, and the customer's server is asked whom it reaches.
    pub(super) fn inquire(
        &mut self,
        now: Now,
        came: Came<'_>,
        record: Box<Cdr>,
        arrival: Arrival,
        question: Question,
        places: Places,
    ) {
        let wire = came.wire();
        if let Some(mut call) = self.admit(now, came, record, &arrival, places) {
            call.inquire(&mut self.hands, now, arrival, question, &wire);
            self.put_back(call);
        }
    }

    /// An answer came, or nothing did.
    pub(super) fn advised(&mut self, now: Now, id: AskId, advice: Advice) {
        let me = CallRef {
            index: id.0 as u32,
            generation: (id.0 >> 32) as u32,
        };
        let Some(mut call) = self.take(me) else { return };
        call.advised(&mut self.hands, now, &self.table, advice);
        self.put_back(call);
    }
}

impl Call {
    /// Asks the customer's server whom the caller reaches.
    fn inquire(
        &mut self,
        hands: &mut Hands,
        now: Now,
        arrival: Arrival,
        question: Question,
        wire: &Wire<'_>,
    ) {
        self.through = Some(Through {
            x: question.number().x,
            shown: Some(question.number().x),
            calling: question.calling(),
        });
        let id = Id::mint(now.wall, &mut hands.chance);
        let inquiry = Inquiry::new(id, self.record.call_id, &question, &self.config.numbers);
        // Should the server die while it waits, the next one finds its record.
        hands.journal(|ink| CallEntry::Arrived(Draft::whole(&self.record, ink)));
        self.asking = Some(Box::new(Asking {
            question,
            arrival,
            trunk: wire.trunk.name.clone(),
            source: wire.source,
            transport: wire.transport,
        }));
        self.clock = Some(hands.wake(self.me, now.at + ASK_WAIT, CallTimer::Asked));
        hands
            .out
            .push_back(Output::Ask(ask_id(self.me), Box::new(inquiry)));
    }

    /// What was asked is answered, or never will be. Whoever waits no more is told nothing.
    pub(super) fn advised(&mut self, hands: &mut Hands, now: Now, table: &Table, advice: Advice) {
        let Some(asking) = self.asking.take() else { return };
        self.stop_clock(hands);
        let config = self.config.clone();
        let Some(trunk) = config.trunks.iter().find(|trunk| trunk.name == asking.trunk) else {
            return self.end(hands, now, End::failed(Reason::Internal));
        };
        let outcome = match advice {
            Advice::Connect(connect) => {
                judged(table, &config, &asking.question, *connect, self.record.call_id).map_err(failed)
            }
            Advice::Close(Close { prompt }) => {
                self.words = prompt.and_then(|name| said_by(&config, table, &asking.question, name));
                Err(End {
                    cause: Some("customer_closed"),
                    ..End::failed(Reason::Rejected)
                })
            }
            Advice::None(why) => Err(failed(why)),
        };
        match outcome {
            Ok(plan) => self.connect_to(hands, now, *asking, plan, trunk),
            Err(end) => self.no_advice(hands, now, *asking, end, trunk),
        }
    }

    /// The other party is called.
    fn connect_to(&mut self, hands: &mut Hands, now: Now, asking: Asking, plan: Plan, trunk: &Trunk) {
        let numbers = self.config.numbers;
        noted::plan(&mut self.record, &plan, &numbers);
        self.through = None;
        let wire = wire(&asking, trunk);
        self.connect(hands, now, asking.arrival, Warrant::Masked(plan), &wire);
    }

    /// Nobody is called.
    fn no_advice(&mut self, hands: &mut Hands, now: Now, mut asking: Asking, end: End, trunk: &Trunk) {
        let offer = asking.arrival.offer.take();
        let wire = wire(&asking, trunk);
        let says = end
            .refusal
            .map_or(Says::Status, |reason| hands.says(&self.config, trunk, reason));
        match (offer, says) {
            (Some(offer), Says::Sound) => self.refused(hands, now, offer, &wire, end),
            (Some(_) | None, Says::Sound | Says::Status) => self.end(hands, now, end),
        }
    }
}

/// Whether the law allows what the customer's server wants for the call `id`.
///
/// # Errors
/// Why its answer is none.
pub fn judged(
    table: &Table,
    config: &Config,
    question: &Question,
    connect: Connect,
    id: Id,
) -> Result<Plan, Silence> {
    let numbers = &config.numbers;
    let to = numbers.normalise(&connect.to).map_err(|_| Silence::Number)?;
    let x = question.number().x.tel();
    let is_x = |shown: &str| numbers.normalise(shown).is_ok_and(|shown| shown == x);
    if connect.shown.as_deref().is_some_and(|shown| !is_x(shown)) {
        return Err(Silence::Shown);
    }
    let rare = Rare {
        max_duration: connect.max_duration(),
        ring_timeout: connect.ring_timeout(),
        order_id: connect.order_id,
        user_data: connect.user_data,
        callback: None,
        cues: Cues {
            whisper: connect.whisper,
            ..Cues::NONE
        }
        .some(),
        ring: None,
        display: None,
        menu: None,
    };
    let terms = Terms::new(Direction::Both, connect.record, rare);
    let plan = route::advised(table, question, Named { to, terms }, id).map_err(|why| match why {
        BadName::OwnNumber => Silence::OwnNumber,
        BadName::SelfCall => Silence::SelfCall,
        BadName::Emergency => Silence::Emergency,
        BadName::Terms => Silence::Terms,
    })?;
    let emergency = config.emergency.as_ref();
    if emergency.is_some_and(|of| of.table.number_of(plan.called()).is_some()) {
        return Err(Silence::Emergency);
    }
    Ok(plan)
}

/// The prompt of this name as the number's pool has it; `None` if there is none.
fn said_by(
    config: &Config,
    table: &Table,
    question: &Question,
    name: Box<str>,
) -> Option<(Arc<Clip>, Box<str>)> {
    let number = question.number();
    let home = Home {
        account: &number.account,
        pool: &number.pool,
        language: table.language(Some(&number.pool), &number.account),
    };
    Some((config.prompts.named(home, &name)?, name))
}

fn failed(why: Silence) -> End {
    End {
        cause: Some(why.name()),
        ..End::failed(Reason::CustomerServer)
    }
}

fn wire<'t>(asking: &Asking, trunk: &'t Trunk) -> Wire<'t> {
    Wire {
        trunk,
        source: asking.source,
        transport: asking.transport,
    }
}
