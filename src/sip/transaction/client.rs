//! The non-INVITE client transaction: RFC 3261 §17.1.2 (Figure 6).

/// Where the transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Sent, nothing heard.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// The final response came; its retransmissions are absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A response of 100–199.
    Provisional,
    /// A response of 200–699.
    Final,
    /// Time to resend.
    TimerE,
    /// Nobody answered for good.
    TimerF,
    /// Retransmissions of the response have died out.
    TimerK,
    /// The request could not be delivered.
    TransportError,
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Hand the response to the TU.
    Deliver,
    /// Hand the response to the TU, forget the request, start timer K.
    Finish,
    /// Send the request again, and start timer E with twice its length, at most T2.
    Resend,
    /// Send the request again, and start timer E with T2.
    ResendSlowly,
    /// Tell the TU that nobody answered, and forget.
    Timeout,
    /// Tell the TU that the transport failed, and forget.
    Fail,
    /// Forget.
    End,
}

/// The table: one row for each arrow of the figure, and for each event that means nothing there.
pub(super) const fn step(state: State, event: Event) -> (State, Act) {
    use Event::{Final, Provisional, TimerE, TimerF, TimerK, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    match (state, event) {
        // RFC 3261 §17.1.2.2
        (Trying, Provisional) => (Proceeding, Act::Deliver),
        (Trying, Final) => (Completed, Act::Finish),
        (Trying, TimerE) => (Trying, Act::Resend),
        (Trying, TimerF) => (Terminated, Act::Timeout),
        (Trying, TransportError) => (Terminated, Act::Fail),
        (Trying, TimerK) => (Trying, Act::Nothing),

        (Proceeding, Provisional) => (Proceeding, Act::Deliver),
        (Proceeding, Final) => (Completed, Act::Finish),
        (Proceeding, TimerE) => (Proceeding, Act::ResendSlowly),
        (Proceeding, TimerF) => (Terminated, Act::Timeout),
        (Proceeding, TransportError) => (Terminated, Act::Fail),
        (Proceeding, TimerK) => (Proceeding, Act::Nothing),

        (Completed, TimerK) => (Terminated, Act::End),
        (Completed, Provisional | Final | TimerE | TimerF | TransportError) => (Completed, Act::Nothing),

        (Terminated, Provisional | Final | TimerE | TimerF | TimerK | TransportError) => {
            (Terminated, Act::Nothing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Final, Provisional, TimerE, TimerF, TimerK, TransportError};
    use super::State::{Completed, Proceeding, Terminated, Trying};
    use super::*;

    /// Figure 6, state by state, the events in the order of `EVENTS`.
    #[test]
    fn every_state_does_with_every_event_what_the_figure_says() {
        const EVENTS: [Event; 6] = [Provisional, Final, TimerE, TimerF, TimerK, TransportError];
        let stay = |state| (state, Act::Nothing);
        let figure = [
            (
                Trying,
                [
                    (Proceeding, Act::Deliver),
                    (Completed, Act::Finish),
                    (Trying, Act::Resend),
                    (Terminated, Act::Timeout),
                    stay(Trying),
                    (Terminated, Act::Fail),
                ],
            ),
            (
                Proceeding,
                [
                    (Proceeding, Act::Deliver),
                    (Completed, Act::Finish),
                    (Proceeding, Act::ResendSlowly),
                    (Terminated, Act::Timeout),
                    stay(Proceeding),
                    (Terminated, Act::Fail),
                ],
            ),
            (
                Completed,
                [
                    stay(Completed),
                    stay(Completed),
                    stay(Completed),
                    stay(Completed),
                    (Terminated, Act::End),
                    stay(Completed),
                ],
            ),
            (Terminated, [stay(Terminated); 6]),
        ];
        for (state, row) in figure {
            for (event, expected) in EVENTS.into_iter().zip(row) {
                assert_eq!(step(state, event), expected, "{state:?} + {event:?}");
            }
        }
    }
}
