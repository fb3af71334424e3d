//! `umbra recording link`

use std::io::Write;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::json;

use crate::base::id::Id;
use crate::cli::client::Control;
use crate::cli::screen::{self, Form, text};
use crate::cli::when;

/// What `recording link` takes.
#[derive(Args, Debug)]
pub struct Link {
    /// The recording
    id: Id,
    /// For how long it can be heard by that link, a minute to seven days
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    ttl: Duration,
    #[command(flatten)]
    form: Form,
}

impl Link {
    /// Prints the path and query of a link by which whoever has it hears the recording, and nothing else, until it ends.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let body = json!({"ttl_s": self.ttl.as_secs()});
        let target = format!("/v1/recordings/{}/link", self.id);
        let link = control.send(Method::POST, &target, Some(&body))?;
        if self.form.json {
            screen::write_json(out, &link)?;
        } else {
            writeln!(
                out,
                "{}  until {}",
                text(&link, "url"),
                screen::time(&link, "expires_at")
            )?;
            // For whoever reads it here; a program knows its server's name.
            drop(writeln!(
                std::io::stderr(),
                "umbra: it opens behind the address in api.listen of the conf, on that machine alone; for others have a proxy \
                 pass /recordings/ on to that"
            ));
        }
        Ok(())
    }
}
