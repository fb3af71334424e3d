//! A call for help comes in: it goes its way whatever stands in the way of others.
//!
//! No binding, limit, load or door is asked. That it comes by a trunk's wire, and with the password that the trunk asks for,
//! has been seen before, as with every call. What bounds it is what no call can do without: ports and transactions.

use super::admit::{Came, Places};
use super::arrive::{self, Wanted};
use super::emergency::{Emergency, Number};
use super::port::{Heading, Note};
use super::switch::Switch;
use super::warrant::{Help, Warrant};
use crate::base::number::{Digits, RealNumber};
use crate::base::time::Now;
use crate::masking::reason::Reason;

/// As a record names the mode.
const MODE: &str = "emergency";

impl Switch {
    /// Somebody calls an emergency number.
    pub(super) fn emergency(&mut self, now: Now, came: Came<'_>, of: &Emergency, number: &Number) {
        let numbers = self.config.numbers;
        let (arrival, sound) = arrive::read(came.message, came.trunk, &numbers, Wanted::Help);
        // Whoever hides his number from others has one all the same; a trunk that reads it nowhere else still has it
        // in From, or says it of itself.
        let caller = arrival.caller.or_else(|| arrival.identities.first().copied());
        let calling = caller.map(RealNumber::new);
        let dialled = Digits::from(&number.digits).unwrap_or_default();
        let mut record = self.blank(now, came.trunk, came.message, dialled, caller);
        record.mode = Some(MODE.to_owned());
        record.callee = Some(dialled);
        record.shown = record.caller;
        self.hands.note(Note::Emergency);
        let (path, server, message) = (came.path, came.server, came.message);
        if let Err(bounce) = sound {
            let record = Some(record);
            return self.refuse_with(now, path, server, message, record, Reason::Protocol, &bounce);
        }
        let Some(help) = Help::at(number, calling, of.trunk) else {
            let record = Some(record);
            return self.refuse(now, path, server, message, record, Reason::Internal);
        };
        let places = Places {
            pass: Some(came.trunk.limits.enter_again(Heading::In)),
            ..Places::default()
        };
        self.begin(now, came, record, arrival, Warrant::Emergency(help), places);
    }
}
