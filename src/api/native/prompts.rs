//! `/v1/prompts`: what callers are told in words.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::accounts::language;
use super::{Desk, blocking};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Fields, Named};
use crate::base::language::Language;
use crate::base::limits::{CUE_LASTS_MAX, PROMPT_BYTES_MAX};
use crate::call::prompts::{Home, Owner, Prompt};
use crate::media::prompts::{Place, Sound, check_name, text};
use crate::rtp::clip::CLOCK_HZ;
use crate::rtp::wav;

/// How loud speech usually is, in dBm0: what is far from it is told.
const LEVELS_DBM0: std::ops::RangeInclusive<f64> = -26.0..=-9.0;

/// Whose prompt a request is about.
struct Whose {
    owner: Owner,
    /// The account, or the pool's.
    account: String,
    language: Option<Language>,
}

impl Whose {
    /// Takes `language`, and `account` or `pool`.
    fn of(fields: &mut Fields, desk: &Desk) -> Result<Self, ApiError> {
        let language = language(fields)?;
        let (owner, account) = match (fields.text("account")?, fields.text("pool")?) {
            (Some(_), Some(_)) => {
                let sentence = "name an account or a pool: a pool has its account";
                return Err(ApiError::bad("bad_field", "account", sentence));
            }
            (None, None) => (Owner::Server, String::new()),
            (Some(name), None) => {
                let account = desk.account_named(&name)?;
                (Owner::Account(account.name.clone()), name)
            }
            (None, Some(name)) => {
                let pool = desk.pool_named(&name)?;
                (Owner::Pool(pool.key.clone()), pool.account.to_string())
            }
        };
        Ok(Self {
            owner,
            account,
            language,
        })
    }

    /// Who hears what these say.
    fn home(&self) -> Home<'_> {
        Home {
            account: &self.account,
            pool: match &self.owner {
                Owner::Pool(pool) => pool,
                Owner::Shipped | Owner::Server | Owner::Account(_) => "",
            },
            language: self.language,
        }
    }

    /// Where the one of this name is; in the server's language if none is named.
    fn place(self, name: &str, spoken: Language) -> Result<Place, ApiError> {
        check_name(name).map_err(|cure| ApiError::bad("bad_field", "name", cure.to_string()))?;
        Ok(Place {
            owner: self.owner,
            language: self.language.unwrap_or(spoken),
            name: name.into(),
        })
    }
}

/// `GET /v1/prompts?language=&account=|pool=` → `{"language", "prompts", "bad"}`: every prompt, what ships too, in the language
/// that is named; of an account or pool only its own. `bad` are the files that can't be heard, a line each.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut fields): Asked,
) -> Result<Json<Value>, ApiError> {
    let whose = Whose::of(&mut fields, &desk)?;
    fields.done()?;
    let bad = blocking({
        let desk = desk.clone();
        move || (desk.owner.prompts.bad)()
    })
    .await?;
    let prompts = desk.config.load().prompts.clone();
    let is_meant = |prompt: &&&Prompt| {
        let speaks = whose.language.is_none_or(|language| language == prompt.language);
        speaks && (whose.owner == Owner::Server || whose.owner == prompt.owner)
    };
    let all = prompts.list();
    let views: Vec<Value> = all
        .iter()
        .filter(is_meant)
        .map(|prompt| view(&desk, prompt))
        .collect();
    Ok(Json(
        json!({"language": prompts.language().name(), "prompts": views, "bad": bad}),
    ))
}

/// `GET /v1/prompts/{name}?language=&account=|pool=` → a WAV file of what is heard by this name there, as PCMA has it.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
    Asked(mut fields): Asked,
) -> Result<Response, ApiError> {
    let whose = Whose::of(&mut fields, &desk)?;
    fields.done()?;
    let prompts = desk.config.load().prompts.clone();
    let clip = prompts
        .named(whose.home(), &name)
        .ok_or_else(|| ApiError::not_found("there is no such prompt"))?;
    let file = blocking(move || wav::write(CLOCK_HZ, &clip.samples())).await?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], file).into_response())
}

/// `PUT /v1/prompts/{name}?language=&account=|pool=`, a WAV file → 201, how it was read and how loud it is. Calls that begin
/// from then on hear it. 429 while another is being put, 408 if it comes too slowly.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
    Asked(mut fields): Asked,
    request: Request,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let whose = Whose::of(&mut fields, &desk)?;
    fields.done()?;
    let place = whose.place(&name, desk.config.load().prompts.language())?;
    let upload = desk.owner.prompts.upload.clone().try_acquire_owned();
    let upload =
        upload.map_err(|_| ApiError::busy("another prompt is being put: try again when it is there"))?;
    let (longest, body) = (desk.owner.prompts.upload_time, Bytes::from_request(request, &()));
    let Ok(file) = tokio::time::timeout(longest, body).await else {
        let sentence = format!(
            "the prompt's file took longer than {} s to come, and nobody else can put one meanwhile: \
             send it by a faster line, or by `umbra prompt add` on the server itself",
            longest.as_secs_f64()
        );
        return Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "upload_timeout",
            sentence,
        ));
    };
    let file = file.map_err(|rejection| {
        let sentence = format!("a prompt's file has at most {PROMPT_BYTES_MAX} bytes");
        ApiError::new(rejection.status(), "bad_body", sentence)
    })?;
    let answer = blocking(move || {
        // Kept until the work is done, even if the client has gone.
        let _upload = upload;
        let sound = Sound::of(&file).map_err(|bad| refuse("bad_sound", bad.to_string()))?;
        let path = (desk.owner.prompts.put)(&place, &sound).map_err(|why| refuse("not_kept", why))?;
        let level = sound.level_dbm0();
        let warning = warning(level, sound.lasts());
        let mut view = view(&desk, &place.prompt(&sound));
        if let Some(view) = view.as_object_mut() {
            view.insert("path".into(), json!(path.display().to_string()));
            view.insert("read_as".into(), json!(sound.read_as));
            view.insert("level_dbm0".into(), json!((level * 10.0).round() / 10.0));
            view.insert("warning".into(), json!(warning));
        }
        Ok::<_, ApiError>(view)
    })
    .await??;
    tracing::info!("the prompt {name} was put, by request");
    Ok((StatusCode::CREATED, Json(answer)))
}

/// What to know of a prompt that goes, but not as one would think.
fn warning(level: f64, lasts: Duration) -> Option<String> {
    let is_usual = LEVELS_DBM0.contains(&level);
    let loud = (!is_usual).then(|| {
        format!(
            "it is at {level:.0} dBm0; others are at -16: it will sound {}",
            if level < -16.0 { "faint" } else { "loud" }
        )
    });
    let long = (lasts > CUE_LASTS_MAX).then(|| {
        format!(
            "it lasts {:.0} s: as a whisper or as the question at the end of a call, it is cut after {} s",
            lasts.as_secs_f64().ceil(),
            CUE_LASTS_MAX.as_secs()
        )
    });
    let said: Vec<String> = loud.into_iter().chain(long).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// `DELETE /v1/prompts/{name}?language=&account=|pool=` → 204: what lends it is heard again. What ships stays.
pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
    Asked(mut fields): Asked,
) -> Result<StatusCode, ApiError> {
    let whose = Whose::of(&mut fields, &desk)?;
    fields.done()?;
    let place = whose.place(&name, desk.config.load().prompts.language())?;
    let was_there = blocking(move || (desk.owner.prompts.remove)(&place)).await?;
    match was_there.map_err(|why| refuse("not_removed", why))? {
        true => {
            tracing::info!("the prompt {name} was removed, by request");
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(ApiError::not_found(
            "there is no such prompt in the folder: `umbra prompt list` names those that there are",
        )),
    }
}

fn refuse(code: &'static str, why: String) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, why)
}

/// `{"name", "language", "owner": "shipped" | "server" | "account" | "pool", "account", "pool", "seconds", "text"}`
fn view(desk: &Desk, prompt: &Prompt) -> Value {
    let (owner, account, pool) = match &prompt.owner {
        Owner::Shipped => ("shipped", None, None),
        Owner::Server => ("server", None, None),
        Owner::Account(account) => ("account", Some(account.to_string()), None),
        Owner::Pool(key) => {
            let pool = desk.store.table().pool(key);
            let name = pool.map_or_else(|| key.to_string(), |pool| pool.name.to_string());
            ("pool", None, Some(name))
        }
    };
    let text = match prompt.owner {
        Owner::Shipped => text(prompt.language, &prompt.name),
        Owner::Server | Owner::Account(_) | Owner::Pool(_) => None,
    };
    json!({
        "name": prompt.name,
        "language": prompt.language.name(),
        "owner": owner,
        "account": account,
        "pool": pool,
        "seconds": prompt.clip.lasts().as_secs_f64(),
        "text": text,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::api::native::support::Served;

    #[test]
    fn who_puts_a_prompt_hears_that_it_is_faint_or_too_long_for_some_uses() {
        assert_eq!(warning(-16.0, CUE_LASTS_MAX), None);
        let long = warning(-16.0, CUE_LASTS_MAX + Duration::from_millis(500)).expect("it is cut");
        assert!(
            long.starts_with("it lasts 31 s: ") && long.ends_with("it is cut after 30 s"),
            "{long}"
        );
        let both = warning(-60.0, CUE_LASTS_MAX * 2).expect("both");
        assert!(both.contains("faint; it lasts 60 s"), "{both}");
    }

    #[test]
    fn one_prompt_is_put_at_a_time_and_who_comes_meanwhile_may_try_again() {
        let served = Served::start();
        let put = || served.raw("PUT", "/v1/prompts/busy", &[], "no WAV file").0;
        let other = served.desk.owner.prompts.upload.clone().try_acquire_owned();
        assert_eq!(put(), 429);
        drop(other);
        assert_eq!(
            [put(), put()],
            [422, 422],
            "whoever was refused is in nobody's way"
        );
    }

    #[test]
    fn a_prompt_that_comes_too_slowly_is_given_up_and_gives_its_place_to_the_next() {
        let served = Served::start();
        let mut slow = UnixStream::connect(served.socket()).unwrap();
        slow.write_all(b"PUT /v1/prompts/busy HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nRIFF")
            .unwrap();
        // It says nothing more, and hears why it is given up.
        let mut heard = Vec::new();
        let mut some = [0; 1_024];
        while !heard.windows(7).any(|at| at == b"faster ") {
            let n = slow.read(&mut some).unwrap();
            assert_ne!(n, 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&some[..n]);
        }
        let heard = String::from_utf8_lossy(&heard);
        assert!(
            heard.starts_with("HTTP/1.1 408 ") && heard.contains("upload_timeout"),
            "{heard}"
        );
        let next = served.raw("PUT", "/v1/prompts/busy", &[], "no WAV file");
        assert_eq!(next.0, 422, "{}", next.1);
    }
}
