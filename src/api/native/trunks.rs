//! `/v1/trunks`: the trunks as the running server has them, whether their gateways can be used, and what an admin does
//! about that.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Desk, calls, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields};
use crate::call::failover::Exit;
use crate::call::port::{Answer, Command, Probed};
use crate::call::reach::Block;
use crate::call::trunk::{Gateway, Trunk};

/// How much longer than its time-out a probe's outcome may take to be told.
const SLACK: Duration = Duration::from_secs(1);

/// `GET /v1/trunks` → `{"trunks", "routes"}`, as the running server has them; each trunk with the `names` among its gateways,
/// and where they are at present.
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let (config, names, now) = (desk.config.load(), (desk.owner.names)(), (desk.clock)());
    Json(json!({
        "trunks": view::trunks(&config, &desk.metrics.registrations, &names, &desk.reach, now.at),
        "routes": view::routes(&config),
    }))
}

/// `POST /v1/trunks/{name}/block | unblock | probe {gateway}`: without a gateway the whole trunk. A gateway is named by its
/// URI, or its `host:port`. What is blocked stays so until it is unblocked, restarts included. A probe is answered with
/// `{"probes"}`, one for each gateway: what it said, and after how many milliseconds.
pub(super) async fn act(
    State(desk): State<Arc<Desk>>,
    Path((name, what)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let gateway = fields.text("gateway")?;
    fields.done()?;
    let config = desk.config.load_full();
    let place = config.trunks.iter().position(|trunk| *trunk.name == *name);
    let Some((place, trunk)) = place.and_then(|at| Some((at, config.trunks.get(at)?))) else {
        // What has left the conf can still be unblocked.
        if what == "unblock" && desk.reach.unblock(&name, gateway.as_deref()) {
            return Ok(changed(&desk, &name, gateway.as_deref(), "unblocked").await);
        }
        return Err(ApiError::not_found("the conf has no trunk of that name"));
    };
    // So can a gateway of it, by the name that it had.
    if what == "unblock" && gateway.is_some() && desk.reach.unblock(&name, gateway.as_deref()) {
        return Ok(changed(&desk, &name, gateway.as_deref(), "unblocked").await);
    }
    let gateways = meant(trunk, gateway.as_deref())?;
    let one = gateway.and_then(|_| gateways.first().map(|(_, gateway)| gateway.name()));
    match what.as_str() {
        "block" => {
            let block = Block {
                trunk: trunk.name.clone(),
                gateway: one.as_deref().map(Into::into),
                since: desk.now(),
            };
            let blocked = desk.reach.block(block);
            blocked.map_err(|full| ApiError::busy(full.to_string()))?;
            Ok(changed(&desk, &name, one.as_deref(), "blocked").await)
        }
        "unblock" => {
            if !desk.reach.unblock(&name, one.as_deref()) {
                let whole = one.is_some() && desk.reach.of(&name).blocked.is_some();
                let sentence = if whole {
                    "the whole trunk is blocked, not this gateway: unblock the trunk"
                } else {
                    "it is not blocked"
                };
                return Err(ApiError::not_found(sentence));
            }
            Ok(changed(&desk, &name, one.as_deref(), "unblocked").await)
        }
        "probe" => {
            if gateways.is_empty() {
                return Err(ApiError::not_found("the trunk has no gateways"));
            }
            let mut asked = JoinSet::new();
            for (gateway, _) in &gateways {
                let exit = Exit {
                    trunk: place,
                    gateway: *gateway,
                };
                let (board, patience) = (desk.board.clone(), trunk.probe.timeout + SLACK);
                asked.spawn(async move {
                    let answer = board.ask_first(patience, |ask| Command::Probe(ask, exit)).await;
                    (exit.gateway, answer)
                });
            }
            let mut answers = asked.join_all().await;
            answers.sort_by_key(|(gateway, _)| *gateway);
            let mut probes = Vec::with_capacity(answers.len());
            for (gateway, answer) in answers {
                let Answer::Probed(probed) = answer.map_err(calls::silent)? else {
                    return Err(calls::crossed());
                };
                let asked_of = trunk.gateways.get(gateway).map(Gateway::name);
                let is_it =
                    |probed: &Probed| *probed.trunk == *name && Some(&*probed.gateway) == asked_of.as_deref();
                let probed = probed.filter(is_it).ok_or_else(|| {
                    ApiError::busy("it could not be asked just now: the conf has changed, or many wait for it; try again")
                })?;
                probes.push(view::probed(&probed));
            }
            Ok(Json(json!({"trunk": name, "probes": probes})))
        }
        _ => Err(ApiError::not_found(
            "a trunk can be blocked, unblocked and probed",
        )),
    }
}

/// Says what was done, and keeps it over restarts.
async fn changed(desk: &Arc<Desk>, trunk: &str, gateway: Option<&str>, state: &str) -> Json<Value> {
    let what = gateway.map_or_else(|| trunk.to_owned(), |gateway| format!("{trunk} {gateway}"));
    tracing::info!("trunk {what} is {state} by request");
    let keeper = desk.clone();
    let kept = super::blocking(move || (keeper.owner.keep_blocks)()).await;
    let warning = match kept {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(format!(
            "it could not be written down, and holds only until a restart: {why}"
        )),
        Err(_) => Some("it could not be written down, and holds only until a restart".to_owned()),
    };
    Json(json!({"trunk": trunk, "gateway": gateway, "state": state, "warning": warning}))
}

/// The gateways that a request means: all, or the one that it names.
fn meant<'t>(trunk: &'t Trunk, named: Option<&str>) -> Result<Vec<(usize, &'t Gateway)>, ApiError> {
    let all = trunk.gateways.iter().enumerate();
    let Some(named) = named else {
        return Ok(all.collect());
    };
    let is_named = |gateway: &Gateway| {
        let name = gateway.name();
        let place = name.split_once(':').map(|(_, place)| place);
        let host = place.and_then(|place| place.split(';').next());
        name == named || host == Some(named)
    };
    let found: Vec<_> = all.filter(|(_, gateway)| is_named(gateway)).collect();
    match found.as_slice() {
        [_] => Ok(found),
        [] => Err(ApiError::not_found(
            "the trunk has no such gateway: umbra trunk status lists them",
        )),
        [_, _, ..] => Err(ApiError::bad(
            "ambiguous",
            "gateway",
            "several gateways of the trunk are there: name one by its URI, as umbra trunk status lists it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::targets::{Name, Place, Scheme};
    use crate::call::trunk::rank::Rank;
    use crate::config::Conf;

    #[test]
    fn a_gateway_is_meant_by_its_uri_or_its_host_whatever_its_scheme() {
        let mut trunk = Conf::embedded().switch.trunks[0].clone();
        let named = |scheme, host: &str| Gateway {
            place: Place::Named(Name {
                scheme,
                host: host.into(),
                port: None,
                transport: None,
            }),
            rank: Rank::default(),
        };
        trunk.gateways = vec![named(Scheme::Sip, "a.example"), named(Scheme::Sips, "b.example")];
        for (text, place) in [
            ("sip:a.example", 0),
            ("a.example", 0),
            ("sips:b.example", 1),
            ("b.example", 1),
        ] {
            let found = meant(&trunk, Some(text)).expect(text);
            assert_eq!(found.first().map(|(at, _)| *at), Some(place), "{text}");
        }
        assert!(meant(&trunk, Some("example")).is_err());
    }
}
