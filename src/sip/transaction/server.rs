//! The non-INVITE server transaction: RFC 3261 §17.2.2 (Figure 8).
//!
//! Transport errors are no event here: a response that was lost is sent again when the request comes again.

/// Where the transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// The TU is at work and has said nothing.
    Trying,
    /// The TU sent a provisional response.
    Proceeding,
    /// The TU sent the final response; it is kept for retransmitted requests.
    Completed,
    /// Over.
    Terminated,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The request again.
    Request,
    /// The TU answers 100–199.
    Provisional,
    /// The TU answers 200–699.
    Final,
    /// Retransmitted requests have died out.
    TimerJ,
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Send the TU's response and keep it.
    Send,
    /// Send the TU's response and keep it; start timer J.
    Finish,
    /// Send the kept response again.
    Repeat,
    /// Forget.
    End,
}

/// The table: one row for each arrow of the figure, and for each event that means nothing there.
pub(super) const fn step(state: State, event: Event) -> (State, Act) {
    use Event::{Final, Provisional, Request, TimerJ};
    use State::{Completed, Proceeding, Terminated, Trying};
    match (state, event) {
        // RFC 3261 §17.2.2
        (Trying, Provisional) => (Proceeding, Act::Send),
        (Trying, Final) => (Completed, Act::Finish),
        (Trying, Request | TimerJ) => (Trying, Act::Nothing),

        (Proceeding, Request) => (Proceeding, Act::Repeat),
        (Proceeding, Provisional) => (Proceeding, Act::Send),
        (Proceeding, Final) => (Completed, Act::Finish),
        (Proceeding, TimerJ) => (Proceeding, Act::Nothing),

        (Completed, Request) => (Completed, Act::Repeat),
        (Completed, TimerJ) => (Terminated, Act::End),
        (Completed, Provisional | Final) => (Completed, Act::Nothing),

        (Terminated, Request | Provisional | Final | TimerJ) => (Terminated, Act::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Final, Provisional, Request, TimerJ};
    use super::State::{Completed, Proceeding, Terminated, Trying};
    use super::*;

    /// Figure 8, state by state, the events in the order of `EVENTS`.
    #[test]
    fn every_state_does_with_every_event_what_the_figure_says() {
        const EVENTS: [Event; 4] = [Request, Provisional, Final, TimerJ];
        let stay = |state| (state, Act::Nothing);
        let figure = [
            (
                Trying,
                [
                    stay(Trying),
                    (Proceeding, Act::Send),
                    (Completed, Act::Finish),
                    stay(Trying),
                ],
            ),
            (
                Proceeding,
                [
                    (Proceeding, Act::Repeat),
                    (Proceeding, Act::Send),
                    (Completed, Act::Finish),
                    stay(Proceeding),
                ],
            ),
            (
                Completed,
                [
                    (Completed, Act::Repeat),
                    stay(Completed),
                    stay(Completed),
                    (Terminated, Act::End),
                ],
            ),
            (Terminated, [stay(Terminated); 4]),
        ];
        for (state, row) in figure {
            for (event, expected) in EVENTS.into_iter().zip(row) {
                assert_eq!(step(state, event), expected, "{state:?} + {event:?}");
            }
        }
    }
}
