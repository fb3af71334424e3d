//! Accounts, pools and numbers as bytes.

use std::sync::Arc;
use std::time::Duration;

use super::{
    BadRecord, Reader, put_duration, put_len, put_mode, put_text, put_text_option, put_texts, put_wall,
    question,
};
use crate::base::language::Language;
use crate::base::limits::{LAST_CALLER_KEPT, X_PER_A};
use crate::base::number::VirtualNumber;
use crate::base::url::HttpUrl;
use crate::masking::ask::{NumbersTold, Secret, Server};
use crate::masking::collect::Collecting;
use crate::masking::inventory::{
    Account, Callback, CityRule, Fax, Freeze, Number, NumberState, OwnerDials, Pool, Reuse, Standing, Thawed,
    Unidentified,
};
use crate::masking::quarantine::{Grip, Quarantine};
use crate::masking::recording::{Keeping, Since, Wish};

pub(super) fn put_account(out: &mut Vec<u8>, account: &Account) {
    put_text(out, &account.name);
    out.extend_from_slice(&account.version.to_le_bytes());
    out.push(match account.standing {
        Standing::Active => 0,
        Standing::Suspended => 1,
    });
    put_wall(out, account.created);
    put_len(out, account.x_per_a);
    put_time(out, account.expiry_max);
    put_language(out, account.language);
    put_recording(out, account.recording);
    let Keeping {
        keep_days,
        at_least_days,
    } = account.kept;
    for days in [keep_days, at_least_days] {
        out.extend_from_slice(&days.unwrap_or(u32::MAX).to_le_bytes());
    }
}

pub(super) fn put_pool(out: &mut Vec<u8>, pool: &Pool) {
    put_text(out, &pool.key);
    put_text(out, &pool.name);
    put_mode(out, pool.mode);
    put_text(out, &pool.account);
    out.extend_from_slice(&pool.version.to_le_bytes());
    put_wall(out, pool.created);
    put_len(out, pool.axb_pairs_per_x);
    put_len(out, pool.relations_per_y);
    out.push(match pool.city_rule {
        CityRule::Loose => 0,
        CityRule::Strict => 1,
    });
    put_texts(out, &pool.fallback_cities);
    out.push(match pool.reuse {
        Reuse::Any => 0,
        Reuse::Sticky => 1,
        Reuse::Avoid => 2,
    });
    out.push(match pool.callback {
        Callback::Temporary => 0,
        Callback::Refused => 1,
        Callback::Last => 2,
        Callback::Preset => 3,
        Callback::Tone => 4,
    });
    out.push(match pool.unidentified {
        Unidentified::Refused => 0,
        Unidentified::Accepted => 1,
    });
    put_quarantine(out, pool.quarantine);
    out.push(pool.free_low_percent);
    put_duration(out, pool.ring_timeout);
    // A limit of no call at all can't be set: 0 is none.
    put_len(out, pool.calls_per_x.unwrap_or(0));
    put_len(out, pool.calls_per_caller.unwrap_or(0));
    out.push(match pool.fax {
        Fax::Refuse => 0,
        Fax::Pass => 1,
    });
    out.push(pool.extension_width);
    put_len(out, pool.extensions_per_x);
    out.push(match pool.collect {
        Collecting::Answer => 0,
        Collecting::Early => 1,
    });
    out.push(match pool.owner_dials {
        OwnerDials::Callback => 0,
        OwnerDials::Ask => 1,
    });
    put_duration(out, Some(pool.last_kept));
    put_language(out, pool.language);
    put_ask(out, pool.ask.as_deref());
    question::put(out, pool.question.as_deref().into());
    put_recording(out, pool.recording);
}

fn put_ask(out: &mut Vec<u8>, ask: Option<&Server>) {
    let Some(Server { url, secret, numbers }) = ask else {
        return out.push(0);
    };
    out.push(match numbers {
        NumbersTold::None => 1,
        NumbersTold::Masked => 2,
        NumbersTold::Full => 3,
    });
    put_text(out, url.as_str());
    put_text_option(out, secret.as_ref().map(Secret::text));
}

pub(super) fn put_number(out: &mut Vec<u8>, number: &Number) {
    out.extend_from_slice(&number.x.tel().bits().to_le_bytes());
    put_text(out, &number.pool);
    put_text(out, &number.account);
    put_texts(out, &number.trunks);
    out.push(match number.state {
        NumberState::Active => 0,
        NumberState::Locked => 1,
        NumberState::Released => 2,
        NumberState::Frozen(Freeze::Arrears) => 3,
        NumberState::Frozen(Freeze::Complaint) => 4,
        NumberState::Frozen(Freeze::Carrier) => 5,
        NumberState::Frozen(Freeze::Operator) => 6,
        NumberState::Frozen(Freeze::Regulator) => 7,
        NumberState::Inventory => 8,
    });
    out.extend_from_slice(&number.version.to_le_bytes());
    put_wall(out, number.added);
    put_text_option(out, number.city.as_deref());
    put_text_option(out, number.operator.as_deref());
    put_texts(out, &number.tags);
    out.push(match number.thawed {
        Thawed::Active => 0,
        Thawed::Locked => 1,
        Thawed::Inventory => 2,
    });
}

fn put_language(out: &mut Vec<u8>, language: Option<Language>) {
    put_text_option(out, language.as_ref().map(Language::name));
}

fn put_recording(out: &mut Vec<u8>, Wish { record, since, tone }: Wish) {
    out.push(u8::from(record));
    out.push(match since {
        None => 0,
        Some(Since::Answer) => 1,
        Some(Since::EarlyMedia) => 2,
    });
    question::put_hearers(out, tone);
}

/// Whole seconds, for times beyond the weeks that [`put_duration`] holds; `u64::MAX` for none.
fn put_time(out: &mut Vec<u8>, time: Option<Duration>) {
    out.extend_from_slice(&time.map_or(u64::MAX, |time| time.as_secs()).to_le_bytes());
}

fn put_quarantine(out: &mut Vec<u8>, quarantine: Option<Quarantine>) {
    out.push(match quarantine.map(|quarantine| quarantine.grip) {
        None => 0,
        Some(Grip::Soft) => 1,
        Some(Grip::Hard) => 2,
    });
    if let Some(quarantine) = quarantine {
        out.extend_from_slice(&quarantine.lasts.as_secs().to_le_bytes());
    }
}

impl Reader<'_> {
    pub(super) fn account(&mut self) -> Result<Account, BadRecord> {
        Ok(Account {
            name: self.text("name")?,
            version: self.u32()?,
            standing: match self.byte()? {
                0 => Standing::Active,
                1 => Standing::Suspended,
                _ => return Err(BadRecord::Field("standing")),
            },
            created: self.wall()?,
            x_per_a: if self.schema < 2 { X_PER_A } else { self.len()? },
            expiry_max: if self.schema < 2 { None } else { self.time()? },
            language: if self.schema < 5 { None } else { self.language()? },
            recording: if self.schema < 5 {
                Wish::default()
            } else {
                self.recording()?
            },
            kept: if self.schema < 5 {
                Keeping::default()
            } else {
                Keeping {
                    keep_days: self.days()?,
                    at_least_days: self.days()?,
                }
            },
        })
    }

    /// Days; `None` for a word that nobody can write.
    fn days(&mut self) -> Result<Option<u32>, BadRecord> {
        Ok(Some(self.u32()?).filter(|days| *days != u32::MAX))
    }

    pub(super) fn pool(&mut self) -> Result<Pool, BadRecord> {
        let pool = Pool {
            key: self.text("key")?,
            name: self.text("name")?,
            mode: self.mode()?,
            account: self.text("account")?,
            version: self.u32()?,
            created: self.wall()?,
            axb_pairs_per_x: self.len()?,
            ..Pool::default_pool()
        };
        if self.schema < 2 {
            return Ok(pool);
        }
        Ok(Pool {
            relations_per_y: self.len()?,
            city_rule: match self.byte()? {
                0 => CityRule::Loose,
                1 => CityRule::Strict,
                _ => return Err(BadRecord::Field("city rule")),
            },
            fallback_cities: self.texts("city")?,
            reuse: match self.byte()? {
                0 => Reuse::Any,
                1 => Reuse::Sticky,
                2 => Reuse::Avoid,
                _ => return Err(BadRecord::Field("reuse")),
            },
            callback: match self.byte()? {
                0 => Callback::Temporary,
                1 => Callback::Refused,
                2 => Callback::Last,
                3 => Callback::Preset,
                4 => Callback::Tone,
                _ => return Err(BadRecord::Field("callback")),
            },
            unidentified: match self.byte()? {
                0 => Unidentified::Refused,
                1 => Unidentified::Accepted,
                _ => return Err(BadRecord::Field("unidentified")),
            },
            quarantine: self.quarantine()?,
            free_low_percent: self.byte()?,
            ring_timeout: self.duration()?,
            calls_per_x: Some(self.len()?).filter(|limit| *limit > 0),
            calls_per_caller: Some(self.len()?).filter(|limit| *limit > 0),
            fax: if self.schema < 3 { Fax::Refuse } else { self.fax()? },
            ..pool
        })
        .and_then(|pool| {
            if self.schema < 5 {
                Ok(pool)
            } else {
                self.keys(pool)
            }
        })
    }

    /// What is asked for by keys, who is called back, and which server is asked.
    fn keys(&mut self, pool: Pool) -> Result<Pool, BadRecord> {
        Ok(Pool {
            extension_width: self.byte()?,
            extensions_per_x: self.len()?,
            collect: match self.byte()? {
                0 => Collecting::Answer,
                1 => Collecting::Early,
                _ => return Err(BadRecord::Field("collect")),
            },
            owner_dials: match self.byte()? {
                0 => OwnerDials::Callback,
                1 => OwnerDials::Ask,
                _ => return Err(BadRecord::Field("owner dials")),
            },
            last_kept: self.duration()?.unwrap_or(LAST_CALLER_KEPT),
            language: self.language()?,
            ask: self.ask()?,
            question: self.question()?.this().map(Arc::new),
            recording: self.recording()?,
            ..pool
        })
    }

    fn recording(&mut self) -> Result<Wish, BadRecord> {
        Ok(Wish {
            record: self.flag("record")?,
            since: match self.byte()? {
                0 => None,
                1 => Some(Since::Answer),
                2 => Some(Since::EarlyMedia),
                _ => return Err(BadRecord::Field("record from")),
            },
            tone: self.hearers()?,
        })
    }

    fn language(&mut self) -> Result<Option<Language>, BadRecord> {
        let name = self.text_option("language")?;
        name.map(|name| name.parse().map_err(|_| BadRecord::Field("language")))
            .transpose()
    }

    fn fax(&mut self) -> Result<Fax, BadRecord> {
        match self.byte()? {
            0 => Ok(Fax::Refuse),
            1 => Ok(Fax::Pass),
            _ => Err(BadRecord::Field("t38")),
        }
    }

    fn ask(&mut self) -> Result<Option<Arc<Server>>, BadRecord> {
        let numbers = match self.byte()? {
            0 => return Ok(None),
            1 => NumbersTold::None,
            2 => NumbersTold::Masked,
            3 => NumbersTold::Full,
            _ => return Err(BadRecord::Field("server")),
        };
        let url = HttpUrl::parse(&self.text("server")?).map_err(|_| BadRecord::Field("server"))?;
        let secret = self.text_option("server")?.map(Secret::new);
        Ok(Some(Arc::new(Server { url, secret, numbers })))
    }

    fn quarantine(&mut self) -> Result<Option<Quarantine>, BadRecord> {
        let grip = match self.byte()? {
            0 => return Ok(None),
            1 => Grip::Soft,
            2 => Grip::Hard,
            _ => return Err(BadRecord::Field("quarantine")),
        };
        let lasts = Duration::from_secs(self.array().map(u64::from_le_bytes)?);
        Ok(Some(Quarantine { lasts, grip }))
    }

    /// Whole seconds; `u64::MAX` is none.
    fn time(&mut self) -> Result<Option<Duration>, BadRecord> {
        Ok(match self.array().map(u64::from_le_bytes)? {
            u64::MAX => None,
            seconds => Some(Duration::from_secs(seconds)),
        })
    }

    pub(super) fn number(&mut self) -> Result<Number, BadRecord> {
        let (x, pool, account) = (self.tel("x")?, self.text("pool")?, self.text("account")?);
        let trunks = self.texts("trunk")?;
        let state = match self.byte()? {
            0 => NumberState::Active,
            1 => NumberState::Locked,
            2 => NumberState::Released,
            3 => NumberState::Frozen(Freeze::Arrears),
            4 => NumberState::Frozen(Freeze::Complaint),
            5 => NumberState::Frozen(Freeze::Carrier),
            6 => NumberState::Frozen(Freeze::Operator),
            7 => NumberState::Frozen(Freeze::Regulator),
            8 => NumberState::Inventory,
            _ => return Err(BadRecord::Field("state")),
        };
        let (version, added) = (self.u32()?, self.wall()?);
        let (city, operator, tags) = if self.schema < 2 {
            (None, None, Vec::new())
        } else {
            (
                self.text_option("city")?,
                self.text_option("operator")?,
                self.texts("tag")?,
            )
        };
        let thawed = if self.schema < 4 {
            Thawed::default()
        } else {
            match self.byte()? {
                0 => Thawed::Active,
                1 => Thawed::Locked,
                2 => Thawed::Inventory,
                _ => return Err(BadRecord::Field("state before")),
            }
        };
        Ok(Number {
            x: VirtualNumber::new(x),
            pool,
            account,
            trunks,
            city,
            operator,
            tags,
            state,
            thawed,
            version,
            added,
        })
    }
}
