//! `umbra route`

use std::io::Write;

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Control;
use super::screen::{self, Form};

/// What `route` takes.
#[derive(Args, Debug)]
pub struct Route {
    /// The virtual number that is dialled
    x: String,
    /// Who dials it
    caller: String,
    /// What the caller keys in if he is asked: an extension, or # alone
    #[arg(long, value_name = "E")]
    digits: Option<String>,
    /// Ask the customer's server too, where one is asked (mode x): it is a real question, and no call
    #[arg(long)]
    ask: bool,
    #[command(flatten)]
    form: Form,
}

impl Route {
    /// Prints what would become of such a call, in sentences. No call is made. A call that would be
    /// refused is an answer like any other: the exit code is 0.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let body = json!({"x": self.x, "caller": self.caller, "digits": self.digits, "ask": self.ask});
        let decision = control.send(Method::POST, "/v1/route", Some(&body))?;
        if self.form.json {
            screen::write_json(out, &decision)?;
            return Ok(());
        }
        let sentences = decision.get("sentences").and_then(Value::as_array);
        for sentence in sentences.into_iter().flatten().filter_map(Value::as_str) {
            writeln!(out, "{sentence}")?;
        }
        if let (reason, Some(status)) = (screen::text(&decision, "reason"), decision.get("sip_status")) {
            writeln!(out, "Nobody is reached: {reason}, and the caller gets {status}.")?;
        }
        Ok(())
    }
}
