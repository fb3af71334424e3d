//! The INVITE client transaction: RFC 3261 §17.1.1 (Figure 5) with RFC 6026 §7.2.

/// Where the transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Sent, nothing heard.
    Calling,
    /// A provisional response came; nothing is resent and nothing times out: the TU decides how long to wait.
    Proceeding,
    /// A final response of 300–699 came: the ACK is kept for its retransmissions.
    Completed,
    /// A 2xx came: its retransmissions, and those of other branches, go to the TU, which sends the ACKs.
    Accepted,
    /// Over.
    Terminated,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A response of 100–199.
    Provisional,
    /// A response of 200–299.
    Success,
    /// A response of 300–699.
    Failure,
    /// Time to resend.
    TimerA,
    /// Nobody answered.
    TimerB,
    /// Retransmissions of the failure have died out.
    TimerD,
    /// Retransmissions of the 2xx have died out.
    TimerM,
    /// The request could not be delivered.
    TransportError,
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Hand the response to the TU; stop resending and timing.
    Deliver,
    /// Hand the 2xx to the TU, forget the request, start timer M.
    Accept,
    /// Hand a further 2xx to the TU.
    DeliverAgain,
    /// Send the ACK, hand the response to the TU, keep only the ACK, start timer D.
    Ack,
    /// Send the ACK again.
    AckAgain,
    /// Send the request again, and start timer A with twice its length.
    Resend,
    /// Tell the TU that nobody answered, and forget.
    Timeout,
    /// Tell the TU that the transport failed, and forget.
    Fail,
    /// Forget.
    End,
}

/// The table: one row for each arrow of the figure, and for each event that means nothing there.
pub(super) const fn step(state: State, event: Event) -> (State, Act) {
    use Event::{Failure, Provisional, Success, TimerA, TimerB, TimerD, TimerM, TransportError};
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};
    match (state, event) {
        // RFC 3261 §17.1.1.2; a 2xx leads to Accepted: RFC 6026 §7.2.
        (Calling, Provisional) => (Proceeding, Act::Deliver),
        (Calling, Success) => (Accepted, Act::Accept),
        (Calling, Failure) => (Completed, Act::Ack),
        (Calling, TimerA) => (Calling, Act::Resend),
        (Calling, TimerB) => (Terminated, Act::Timeout),
        (Calling, TransportError) => (Terminated, Act::Fail),
        (Calling, TimerD | TimerM) => (Calling, Act::Nothing),

        (Proceeding, Provisional) => (Proceeding, Act::Deliver),
        (Proceeding, Success) => (Accepted, Act::Accept),
        (Proceeding, Failure) => (Completed, Act::Ack),
        // The figure knows no transport error here: nothing is being sent. What failed was somebody else's
        // message to the same address; the phone still rings, and can be cancelled.
        (Proceeding, TransportError) => (Proceeding, Act::Nothing),
        (Proceeding, TimerA | TimerB | TimerD | TimerM) => (Proceeding, Act::Nothing),

        (Completed, Failure) => (Completed, Act::AckAgain),
        (Completed, TimerD) => (Terminated, Act::End),
        // The figure informs the TU that the ACK failed; ours has its final response and needs no second end.
        (Completed, TransportError) => (Terminated, Act::End),
        (Completed, Provisional | Success | TimerA | TimerB | TimerM) => (Completed, Act::Nothing),

        // RFC 6026 §7.2: only 2xx pass; the ACK is the TU's, so a transport error is not the transaction's.
        (Accepted, Success) => (Accepted, Act::DeliverAgain),
        (Accepted, TimerM) => (Terminated, Act::End),
        (Accepted, Provisional | Failure | TimerA | TimerB | TimerD | TransportError) => {
            (Accepted, Act::Nothing)
        }

        (
            Terminated,
            Provisional | Success | Failure | TimerA | TimerB | TimerD | TimerM | TransportError,
        ) => (Terminated, Act::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Failure, Provisional, Success, TimerA, TimerB, TimerD, TimerM, TransportError};
    use super::State::{Accepted, Calling, Completed, Proceeding, Terminated};
    use super::*;

    /// Figure 5 as RFC 6026 draws it, state by state, the events in the order of `EVENTS`.
    #[test]
    fn every_state_does_with_every_event_what_the_figure_says() {
        const EVENTS: [Event; 8] = [
            Provisional,
            Success,
            Failure,
            TimerA,
            TimerB,
            TimerD,
            TimerM,
            TransportError,
        ];
        let stay = |state| (state, Act::Nothing);
        let figure = [
            (
                Calling,
                [
                    (Proceeding, Act::Deliver),
                    (Accepted, Act::Accept),
                    (Completed, Act::Ack),
                    (Calling, Act::Resend),
                    (Terminated, Act::Timeout),
                    stay(Calling),
                    stay(Calling),
                    (Terminated, Act::Fail),
                ],
            ),
            (
                Proceeding,
                [
                    (Proceeding, Act::Deliver),
                    (Accepted, Act::Accept),
                    (Completed, Act::Ack),
                    stay(Proceeding),
                    stay(Proceeding),
                    stay(Proceeding),
                    stay(Proceeding),
                    stay(Proceeding),
                ],
            ),
            (
                Completed,
                [
                    stay(Completed),
                    stay(Completed),
                    (Completed, Act::AckAgain),
                    stay(Completed),
                    stay(Completed),
                    (Terminated, Act::End),
                    stay(Completed),
                    (Terminated, Act::End),
                ],
            ),
            (
                Accepted,
                [
                    stay(Accepted),
                    (Accepted, Act::DeliverAgain),
                    stay(Accepted),
                    stay(Accepted),
                    stay(Accepted),
                    stay(Accepted),
                    (Terminated, Act::End),
                    stay(Accepted),
                ],
            ),
            (Terminated, [stay(Terminated); 8]),
        ];
        for (state, row) in figure {
            for (event, expected) in EVENTS.into_iter().zip(row) {
                assert_eq!(step(state, event), expected, "{state:?} + {event:?}");
            }
        }
    }
}
