//! The certificates and keys that the conf names: read, and checked, where the conf itself is right.

use super::reader::Source;
use super::{Conf, Fault, Faults, Findings, Reading};
use crate::media::prompts;
use crate::transport::tls::{self, Terms};

impl Reading {
    /// Checks what was read, the prompts, and the certificates and keys that it names, which come beside it. A prompt that
    /// can't be heard is no fault: another is heard instead.
    pub fn check_with_certificates(&self) -> (Findings, Terms) {
        let mut found = self.check();
        let read = found.conf.as_ref().map(|conf| self.certificates(conf));
        match read {
            Some(Ok(terms)) => {
                let prompts = found
                    .conf
                    .iter()
                    .flat_map(|conf| prompts::read(&conf.prompts).bad);
                let prompts: Vec<Fault> = prompts.map(Fault::of_prompt).collect();
                found.warnings.0.extend(prompts);
                let sealing = found
                    .conf
                    .as_ref()
                    .filter(|conf| conf.switch.recordings.is_some());
                let sealing = sealing.map(|conf| conf.recordings.sealing()).unwrap_or_default();
                let keys = sealing
                    .faults()
                    .map(|fault| self.fault("recordings.keys", fault.to_string()));
                found.warnings.0.extend(keys);
                (found, terms)
            }
            Some(Err(faults)) => {
                found.conf = None;
                found.faults = faults;
                (found, Terms::default())
            }
            None => (found, Terms::default()),
        }
    }

    /// Reads every certificate and key that a conf of these files names.
    ///
    /// # Errors
    /// Every one that is missing or won't do, at the line of its key.
    pub fn certificates(&self, conf: &Conf) -> Result<Terms, Faults> {
        Terms::read(&conf.tls, &conf.switch.listeners, &conf.switch.trunks)
            .map_err(|faults| Faults(faults.into_iter().map(|fault| self.place(fault)).collect()))
    }

    /// Where the key of a fault stands.
    fn place(&self, fault: tls::Fault) -> Fault {
        let Some(trunk) = fault.trunk else {
            return self.fault(&format!("sip.{}", fault.key), fault.cure);
        };
        let found = self.trunks.iter().find_map(|text| {
            let source = Source::new(&text.name, &text.text);
            source.fault_of_trunk(&trunk, fault.key, &fault.cure)
        });
        found.unwrap_or(Fault {
            file: self.trunks_at.clone(),
            line: None,
            text: String::new(),
            cure: fault.cure,
        })
    }
}
