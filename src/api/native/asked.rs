//! A customer's server is asked for whoever wants to know whether it answers.

use serde_json::{Value, json};

use super::{Desk, view};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::call::ask::{Advice, Inquiry, Silence, judged};
use crate::call::config::Config;
use crate::masking::ask::Question;
use crate::masking::route::Plan;

/// What came of it.
pub(super) struct Answer {
    /// The right to call whom it named.
    pub(super) plan: Option<Plan>,
    /// What happened, for a person.
    pub(super) sentence: String,
    /// The same for programs.
    pub(super) view: Value,
}

impl Desk {
    /// Asks the customer's server as a call would.
    pub(super) async fn ask_customer(&self, config: &Config, question: &Question) -> Answer {
        let now = self.now();
        let mut seed = [0; 32];
        // Without randomness the ids repeat, and nothing hangs on that here.
        let _ = getrandom::fill(&mut seed);
        let mut chance = Chance::from_seed(seed);
        let (id, call_id) = (Id::mint(now, &mut chance), Id::mint(now, &mut chance));
        let inquiry = Inquiry::new(id, call_id, question, &config.numbers);
        let tried = self.asker.try_once(Box::new(inquiry)).await;
        let ms = tried.took.as_millis();
        let outcome = match tried.advice {
            Advice::Connect(connect) => {
                judged(self.store.table(), config, question, *connect, call_id).map(Some)
            }
            Advice::Close(_) => Ok(None),
            Advice::None(why) => Err(why),
        };
        match outcome {
            Ok(Some(plan)) => {
                let called = view::real(plan.called(), &config.numbers);
                let x = config.numbers.virtual_text(plan.number().x);
                Answer {
                    sentence: format!("It answered within {ms} ms: the call goes to {called}, who sees {x}."),
                    view: json!({"action": "connect", "called": called, "took_ms": ms as u64}),
                    plan: Some(plan),
                }
            }
            Ok(None) => Answer {
                plan: None,
                sentence: format!("It answered within {ms} ms that the caller reaches nobody."),
                view: json!({"action": "close", "took_ms": ms as u64}),
            },
            Err(why) => Answer {
                plan: None,
                sentence: said_of(why),
                view: json!({"action": null, "why": why.name(), "took_ms": ms as u64}),
            },
        }
    }
}

fn said_of(why: Silence) -> String {
    format!(
        "The server {}: the caller reaches nobody ({}).",
        why.sentence(),
        why.name()
    )
}
