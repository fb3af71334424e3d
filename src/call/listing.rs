//! Listing the live calls, with what their media counts at this moment: the media threads are asked, and the listing
//! waits a moment for them.

use super::media::Order;
use super::phase::Recorded;
use super::port::{Answer, AskId, CallView, Output};
use super::switch::Switch;
use crate::base::limits::{LISTINGS_MAX, LIVE_COUNTS_FLOWS, LIVE_COUNTS_WAIT};
use crate::base::time::{Instant, Now};

/// A listing that waits for counts.
pub(super) struct Listing {
    /// Who wants it. Whoever asks while it waits gets the same.
    asks: Vec<AskId>,
    /// Counts that are still to come.
    left: usize,
    until: Instant,
}

impl Listing {
    /// When it goes out with what there is.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Switch {
    /// Somebody wants the live calls.
    pub(super) fn list(&mut self, now: Now, ask: AskId) {
        match &mut self.listing {
            Some(listing) if listing.asks.len() < LISTINGS_MAX => listing.asks.push(ask),
            Some(_) => self.answer_listing(now, &[ask]),
            None => {
                let open = self
                    .calls
                    .iter()
                    .flatten()
                    .filter(|call| call.recorded == Recorded::Open);
                let flows = open
                    .flat_map(|call| call.bridge.open_ports())
                    .take(LIVE_COUNTS_FLOWS);
                let orders: Vec<Output> = flows.map(|port| Output::Media(Order::Count(port))).collect();
                if orders.is_empty() {
                    return self.answer_listing(now, &[ask]);
                }
                self.listing = Some(Listing {
                    asks: vec![ask],
                    left: orders.len(),
                    until: now.at + LIVE_COUNTS_WAIT,
                });
                self.hands.out.extend(orders);
            }
        }
    }

    /// One more of the counts that were asked for is here. Those that come too late only make a later listing's
    /// answer a little older.
    pub(super) fn counts_came(&mut self, now: Now) {
        if let Some(listing) = &mut self.listing {
            listing.left = listing.left.saturating_sub(1);
            if listing.left == 0 {
                self.finish_listing(now);
            }
        }
    }

    /// A listing has waited long enough.
    pub(super) fn listing_due(&mut self, now: Now) {
        if self
            .listing
            .as_ref()
            .is_some_and(|listing| listing.until <= now.at)
        {
            self.finish_listing(now);
        }
    }

    fn finish_listing(&mut self, now: Now) {
        if let Some(listing) = self.listing.take() {
            self.answer_listing(now, &listing.asks);
        }
    }

    fn answer_listing(&mut self, now: Now, asks: &[AskId]) {
        let views: Vec<CallView> = self.calls.iter().flatten().map(|call| call.view(now)).collect();
        for ask in asks {
            let answer = Answer::Calls(views.clone());
            self.hands.out.push_back(Output::Answer(*ask, answer));
        }
    }
}
