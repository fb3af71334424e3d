//! The lines of a ladder about customers' servers.

use super::super::customer::Script;
use super::{Play, Stage, duration};

impl<S: Stage> Play<S> {
    /// `asks X 17… [numbers=masked]`: a number of an X pool, whose customer's server is there.
    pub(super) fn asks(&mut self, name: &str, digits: &str, options: &[&str]) -> Result<(), String> {
        self.names.insert(name.into(), digits.into());
        let mut numbers = "full";
        for option in options {
            numbers = option.strip_prefix("numbers=").ok_or("asks takes numbers=")?;
        }
        self.cast.stage.ask(digits, numbers);
        Ok(())
    }

    /// `server connect B max_duration_s=60 …`, `server says {…}`, and what [`Script::named`] reads.
    pub(super) fn server(&mut self, words: &[&str]) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let script = match words {
            ["connect", to, terms @ ..] => Script::Says(self.connect(to, terms)?, std::time::Duration::ZERO),
            ["twice", "connect", to, terms @ ..] => Script::Twice(self.connect(to, terms)?),
            ["after", time, "connect", to, terms @ ..] => {
                let after = duration(time, t1).ok_or("after how long?")?;
                Script::Says(self.connect(to, terms)?, after)
            }
            ["says", body @ ..] => Script::Says(body.join(" "), std::time::Duration::ZERO),
            words => Script::named(words).ok_or("no server of a customer does that")?,
        };
        self.cast.stage.server(script);
        Ok(())
    }

    fn connect(&self, to: &str, terms: &[&str]) -> Result<String, String> {
        let mut body = format!("{{\"action\":\"connect\",\"to\":\"{}\"", self.name(to));
        for term in terms {
            let (key, value) = term.split_once('=').ok_or("a term is key=value")?;
            let value = self.name(value);
            let is_bare =
                value == "true" || (key.ends_with("_s") && value.bytes().all(|c| c.is_ascii_digit()));
            let quote = if is_bare { "" } else { "\"" };
            body += &format!(",\"{key}\":{quote}{value}{quote}");
        }
        Ok(body + "}")
    }

    /// `asked X by A`, `asked X by 138****0001`, `asked X by nobody`, `asked none`: the questions since the last such line.
    pub(super) fn asked_for(&mut self, words: &[&str]) -> Result<(), String> {
        let questions = self.cast.stage.questions();
        match words {
            ["none"] if questions.is_empty() => Ok(()),
            [x, "by", who] => {
                let [question] = &questions[..] else {
                    return Err(format!("the server was asked {questions:?}"));
                };
                let who = match self.name(who) {
                    nobody if nobody == "nobody" => serde_json::Value::Null,
                    masked if masked.contains('*') => masked.into(),
                    digits => format!("+86{digits}").into(),
                };
                let (data, x) = (&question["data"], self.name(x));
                if data["x"] == x && data["caller"] == who && question["type"] == "call.ask" {
                    Ok(())
                } else {
                    Err(format!("the server was asked {question}"))
                }
            }
            _ => Err(format!("the server was asked {questions:?}")),
        }
    }
}
