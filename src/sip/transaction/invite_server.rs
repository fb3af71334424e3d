//! The INVITE server transaction: RFC 3261 §17.2.1 (Figure 7) with RFC 6026 §7.1.
//!
//! No 100 is sent by itself: the switch sends one at once. Transport errors are no event here: RFC 6026 §7.1
//! keeps the transaction in its state, and no TU of ours would do anything about it.

/// Where the transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// The TU is at work.
    Proceeding,
    /// The TU answered 300–699; waiting for the ACK.
    Completed,
    /// The ACK came; its retransmissions are absorbed.
    Confirmed,
    /// The TU answered 2xx; retransmitted INVITEs are absorbed, ACKs and further 2xx pass.
    Accepted,
    /// Over.
    Terminated,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The INVITE again.
    Invite,
    /// An ACK that matches.
    Ack,
    /// The TU answers 100–199.
    Provisional,
    /// The TU answers 200–299.
    Success,
    /// The TU answers 300–699.
    Failure,
    /// Time to resend the failure.
    TimerG,
    /// No ACK came.
    TimerH,
    /// Retransmitted ACKs have died out.
    TimerI,
    /// Retransmitted INVITEs have died out.
    TimerL,
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Send the TU's response and keep it.
    Send,
    /// Send the TU's 2xx, keep nothing, start timer L.
    Accept,
    /// Send a further 2xx of the TU.
    SendAgain,
    /// Send the TU's response and keep it; start timers G and H.
    Reject,
    /// Send the kept response again, if there is one.
    Repeat,
    /// Send the kept response again, and start timer G with twice its length, at most T2.
    Resend,
    /// Forget the response, start timer I, tell the TU.
    Confirm,
    /// Hand the ACK to the TU.
    PassAck,
    /// Tell the TU that no ACK came, and forget.
    NoAck,
    /// Tell the TU that the time for the ACK to its 2xx is over, and forget.
    Gone,
    /// Forget.
    End,
}

/// The table: one row for each arrow of the figure, and for each event that means nothing there.
pub(super) const fn step(state: State, event: Event) -> (State, Act) {
    use Event::{Ack, Failure, Invite, Provisional, Success, TimerG, TimerH, TimerI, TimerL};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    match (state, event) {
        // RFC 3261 §17.2.1; a 2xx leads to Accepted: RFC 6026 §7.1.
        (Proceeding, Invite) => (Proceeding, Act::Repeat),
        (Proceeding, Provisional) => (Proceeding, Act::Send),
        (Proceeding, Success) => (Accepted, Act::Accept),
        (Proceeding, Failure) => (Completed, Act::Reject),
        (Proceeding, Ack | TimerG | TimerH | TimerI | TimerL) => (Proceeding, Act::Nothing),

        (Completed, Invite) => (Completed, Act::Repeat),
        (Completed, Ack) => (Confirmed, Act::Confirm),
        (Completed, TimerG) => (Completed, Act::Resend),
        (Completed, TimerH) => (Terminated, Act::NoAck),
        (Completed, Provisional | Success | Failure | TimerI | TimerL) => (Completed, Act::Nothing),

        (Confirmed, TimerI) => (Terminated, Act::End),
        (Confirmed, Invite | Ack | Provisional | Success | Failure | TimerG | TimerH | TimerL) => {
            (Confirmed, Act::Nothing)
        }

        // RFC 6026 §7.1: the 2xx's retransmissions are the TU's.
        (Accepted, Ack) => (Accepted, Act::PassAck),
        (Accepted, Success) => (Accepted, Act::SendAgain),
        (Accepted, TimerL) => (Terminated, Act::Gone),
        (Accepted, Invite | Provisional | Failure | TimerG | TimerH | TimerI) => (Accepted, Act::Nothing),

        (Terminated, Invite | Ack | Provisional | Success | Failure | TimerG | TimerH | TimerI | TimerL) => {
            (Terminated, Act::Nothing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Ack, Failure, Invite, Provisional, Success, TimerG, TimerH, TimerI, TimerL};
    use super::State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    use super::*;

    /// Figure 7 as RFC 6026 draws it, state by state, the events in the order of `EVENTS`.
    #[test]
    fn every_state_does_with_every_event_what_the_figure_says() {
        const EVENTS: [Event; 9] = [
            Invite,
            Ack,
            Provisional,
            Success,
            Failure,
            TimerG,
            TimerH,
            TimerI,
            TimerL,
        ];
        let stay = |state| (state, Act::Nothing);
        let figure = [
            (
                Proceeding,
                [
                    (Proceeding, Act::Repeat),
                    stay(Proceeding),
                    (Proceeding, Act::Send),
                    (Accepted, Act::Accept),
                    (Completed, Act::Reject),
                    stay(Proceeding),
                    stay(Proceeding),
                    stay(Proceeding),
                    stay(Proceeding),
                ],
            ),
            (
                Completed,
                [
                    (Completed, Act::Repeat),
                    (Confirmed, Act::Confirm),
                    stay(Completed),
                    stay(Completed),
                    stay(Completed),
                    (Completed, Act::Resend),
                    (Terminated, Act::NoAck),
                    stay(Completed),
                    stay(Completed),
                ],
            ),
            (
                Confirmed,
                [
                    stay(Confirmed),
                    stay(Confirmed),
                    stay(Confirmed),
                    stay(Confirmed),
                    stay(Confirmed),
                    stay(Confirmed),
                    stay(Confirmed),
                    (Terminated, Act::End),
                    stay(Confirmed),
                ],
            ),
            (
                Accepted,
                [
                    stay(Accepted),
                    (Accepted, Act::PassAck),
                    stay(Accepted),
                    (Accepted, Act::SendAgain),
                    stay(Accepted),
                    stay(Accepted),
                    stay(Accepted),
                    stay(Accepted),
                    (Terminated, Act::Gone),
                ],
            ),
            (Terminated, [stay(Terminated); 9]),
        ];
        for (state, row) in figure {
            for (event, expected) in EVENTS.into_iter().zip(row) {
                assert_eq!(step(state, event), expected, "{state:?} + {event:?}");
            }
        }
    }
}
