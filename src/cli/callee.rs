//! `umbra callee`

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{self, Control, escaped};
use super::screen::{self, Form, text};
use super::when;

/// What `callee` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).args(["to", "clear"]))]
pub struct Callee {
    /// The virtual number of a binding that calls back, or a work number
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    x: String,
    /// Who has an extension behind X, where many do
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    a: Option<String>,
    /// Whom A reaches by dialling X next
    #[arg(long, value_name = "B", value_parser = NonEmptyStringValueParser::new())]
    to: Option<String>,
    /// Nobody
    #[arg(long)]
    clear: bool,
    /// How long that holds (60s; 1h at most); one call uses it up
    #[arg(long, value_name = "DURATION", value_parser = when::duration, conflicts_with = "clear")]
    ttl: Option<Duration>,
    #[command(flatten)]
    form: Form,
}

impl Callee {
    /// Names the temporary callee of X, or takes it away.
    ///
    /// # Errors
    /// What the server says; that nothing is bound to X.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let x = &self.x;
        let mut query = vec![("x", x.clone()), ("state", "live".into())];
        query.extend(self.a.clone().map(|a| ("a", a)));
        let on_x = client::target("/v1/bindings", &query);
        let found = control.send(Method::GET, &on_x, None)?;
        let bindings = found.get("bindings").and_then(Value::as_array);
        let binding = bindings
            .and_then(|bindings| bindings.first())
            .with_context(|| format!("nothing is bound to {x}"))?;
        // On a work number the first is the employee's, and the others are his customers'.
        match text(binding, "mode").as_str() {
            "ax" | "axn" | "95axn" | "axg" | "gxb" | "gxyb" | "xb" => {}
            "axe" if self.a.is_some() => {}
            "axe" => bail!("many are behind {x}: say by --a who reaches his callee by it"),
            mode => bail!("{x} carries {mode} bindings, which have no callee to name"),
        }
        let target = format!("/v1/bindings/{}/callee", escaped(&text(binding, "id")));
        let callee = match &self.to {
            Some(to) => {
                let mut body = json!({"to": to});
                if let Some(ttl) = self.ttl {
                    body["ttl_s"] = ttl.as_secs().into();
                }
                control.send(Method::PUT, &target, Some(&body))?
            }
            None => control.send(Method::DELETE, &target, None)?,
        };
        if self.form.json {
            screen::write_json(out, &callee)?;
        } else if self.clear {
            writeln!(out, "{x}  reaches nobody when A dials it")?;
        } else {
            writeln!(
                out,
                "{x}  reaches {} when A dials it, once, until {}",
                screen::masked(&text(&callee, "to")),
                when::show_api_time(&text(&callee, "until"))
            )?;
        }
        Ok(())
    }
}
