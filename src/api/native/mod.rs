//! The native HTTP API, JSON: on the control socket, and on `api.listen`.
//!
//! | | |
//! |---|---|
//! | `POST /v1/bindings` | bind; `Idempotency-Key` honoured |
//! | `POST /v1/bindings:batch` | up to 1,000, each with its own result |
//! | `POST /v1/bindings:import`, `:restore`, `:unbind` | up to 1,000, with their ids: counts, and each that was refused |
//! | `GET`, `DELETE /v1/bindings` | list by `x`, `y`, `a`, `b`, `user_data`, `order_id`, `state`; unbind all of `x` |
//! | `GET`, `PATCH`, `DELETE /v1/bindings/{id}` | show, update, unbind |
//! | `PUT`, `DELETE /v1/bindings/{id}/callee` | whom A of an AX binding reaches next |
//! | `POST /v1/route` | who would be reached, and why |
//! | `GET /v1/calls`, `DELETE /v1/calls/{id}`, `GET /v1/calls/{id}/trace`, `POST /v1/calls/{id}/recording/{pause,resume}` | calls in progress |
//! | `GET /v1/cdrs`, `GET /v1/cdrs/{call_id}` | records |
//! | `GET /v1/recordings`, `GET`, `DELETE /v1/recordings/{id}`, `GET /v1/recordings/{id}/audio`, `chain`, `POST /v1/recordings/{id}/verify`, `link`, `POST /v1/recordings/erase` | recordings; every access is noted in the audit log |
//! | `GET /recordings/{id}?expires=&signature=` | a recording's audio, by a link and nothing else |
//! | `/v1/accounts`, `/v1/accounts/{name}`, `POST /v1/accounts/{name}/suspend` … | accounts |
//! | `/v1/pools`, `/v1/pools/{name or key}`, `GET /v1/pools/{name or key}/usage` | pools |
//! | `/v1/groups`, `/v1/groups/{id or name}`, `/v1/groups/{id or name}/members` | groups and who is in them |
//! | `/v1/numbers`, `/v1/numbers/{x}`, `POST /v1/numbers/{x}/lock` … | virtual numbers |
//! | `POST /v1/numbers:batch` | up to 1,000, each with its own result |
//! | `GET /v1/trunks`, `POST /v1/trunks/{name}/block`, `unblock`, `probe` | trunks and routes |
//! | `GET`, `POST /v1/bans`, `DELETE /v1/bans/{address}` | who is kept out |
//! | `POST /v1/trunks/{name}/try` | how a number is read and written on a trunk, step by step |
//! | `GET /v1/status`, `POST /v1/stop`, `POST`, `DELETE /v1/drain`, `POST /v1/reload`, `PUT /v1/log` | the server |
//! | `GET /v1/prompts`, `GET`, `PUT`, `DELETE /v1/prompts/{name}` | what callers are told in words, as WAV files |
//! | `GET /v1/backup` | a snapshot of all bindings, numbers and pools, as one file |
//! | `GET /healthz`, `/readyz`, `/metrics` | for monitors |
//!
//! Virtual numbers are written as they are dialled nationally, real ones in E.164 with `+` and in full;
//! times in RFC 3339, lengths of time in seconds. Fields that a request doesn't have are refused by name,
//! bodies over 1 MiB (a prompt's: 64 MiB) with 413. Errors are [`ApiError`]s.
//!
//! Nobody is asked who they are: whoever opens the control socket is the owner of the process (mode 0600),
//! and until there are tokens the server offers `api.listen` on loopback addresses only, with
//! [`router_on_loopback`], which keeps other sites' pages in a browser on this machine out.

mod accounts;
mod asked;
mod backup;
mod bans;
mod bindings;
mod bulk;
mod callee;
mod calls;
mod cdrs;
mod cues;
mod groups;
mod menu;
mod node;
mod numbers;
mod pools;
mod prompts;
mod question;
mod recordings;
mod refusal;
mod route;
#[cfg(test)]
pub(crate) mod support;
#[cfg(test)]
mod tests;
pub(crate) mod trunk_try;
mod trunks;
mod view;

/// What is said of a recording that was verified, as JSON.
pub(crate) use view::verdict as recording_verdict;

pub use recordings::OfAccount;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use tokio::sync::{Semaphore, oneshot};

use super::error::ApiError;
use super::fields::BODY_BYTES_MAX;
use super::idempotency::Answers;
use super::switchboard::Switchboard;
use crate::base::id::Id;
use crate::base::limits::PROMPT_BYTES_MAX;
use crate::base::time::{Now, Wall};
use crate::call::bans::Bans;
use crate::call::config::Config;
use crate::call::reach::Reach;
use crate::customer::asker::Asker;
use crate::masking::request::{Write, Written};
use crate::media::prompts::{Place, Sound};
use crate::names::keeper::Status;
use crate::records::archive::{Archive, LINK_PATH};
use crate::store::writer::Store;
use crate::telemetry::health::Health;
use crate::telemetry::log::Level;
use crate::telemetry::metrics::{Metrics, Page};
use crate::telemetry::traces::Traces;

/// What the API needs of the running server.
pub struct Desk {
    /// The bindings.
    pub store: Store,
    /// The switch's conf as it is in force: the country's numbers, the trunks, the node's name.
    pub config: Arc<ArcSwap<Config>>,
    /// The way to the SIP shards.
    pub board: Arc<Switchboard>,
    /// Where the records are.
    pub cdr_dir: PathBuf,
    /// The recordings.
    pub archive: Arc<Archive>,
    /// Places for those who read recordings.
    pub readers: Arc<Semaphore>,
    /// And of those who have no more than a link.
    pub link_readers: Arc<Semaphore>,
    /// The messages of the calls that ended last.
    pub traces: Arc<Traces>,
    /// How the server's parts are.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// When the server started.
    pub started: Wall,
    /// Reads the clocks.
    pub clock: Box<dyn Fn() -> Now + Send + Sync>,
    /// Which gateways can be used.
    pub reach: Arc<Reach>,
    /// Who is kept out.
    pub bans: Arc<Bans>,
    /// Who asks customers' servers.
    pub asker: Asker,
    /// What only the owner of the process can do.
    pub owner: Owner,
    /// Answers that an `Idempotency-Key` can ask for again.
    pub answers: Arc<Answers>,
    /// What became of the calls of the process before.
    pub takeover: Takeover,
}

/// What became of the calls that the process before left in progress.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Takeover {
    /// Calls that went on in this one.
    pub taken: usize,
    /// Calls that ended.
    pub ended: usize,
}

/// What only the owner of the process can do or tell.
pub struct Owner {
    /// Ends the process; returns at once. Or says why it can't leave the calls in progress to another now.
    pub stop: Box<dyn Fn(Stop) -> Result<(), String> + Send + Sync>,
    /// Reads the conf again: what came of it, or every fault, a line each; then the old conf stays.
    pub reload: Box<dyn Fn() -> Result<Reloaded, Vec<String>> + Send + Sync>,
    /// Changes the folder of prompts.
    pub prompts: PromptFolder,
    /// What conf is in force, and how its files are now; `None` for the built-in one. Reads the disk.
    pub conf: Box<dyn Fn() -> Option<ConfState> + Send + Sync>,
    /// Takes new calls or refuses them, from now on.
    ///
    /// # Errors
    /// The phase that the server is in, if that is its last.
    pub admit: Box<dyn Fn(Phase) -> Result<(), Phase> + Send + Sync>,
    /// Writes down what is blocked, for the next start. Or says why it can't.
    pub keep_blocks: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Sets how much is logged.
    pub log_level: Box<dyn Fn(Level) + Send + Sync>,
    /// What is known of the names of gateways.
    pub names: Box<dyn Fn() -> Vec<Status> + Send + Sync>,
    /// Whether new calls are taken.
    pub phase: Box<dyn Fn() -> Phase + Send + Sync>,
    /// How many calls are in progress.
    pub calls: Box<dyn Fn() -> usize + Send + Sync>,
    /// How many TCP connections are open.
    pub connections: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Writes the metrics that are no events of calls.
    pub readings: Box<dyn Fn(&mut Page) + Send + Sync>,
}

/// How the process is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It takes no new call, and ends when those in progress are over or this time is.
    Drain(Duration),
    /// At once: the calls in progress go on in the process that comes next.
    HandOver,
}

/// Writes a prompt.
type PutPrompt = dyn Fn(&Place, &Sound) -> Result<PathBuf, String> + Send + Sync;
/// Takes one away.
type RemovePrompt = dyn Fn(&Place) -> Result<bool, String> + Send + Sync;

/// The folder of prompts; each closure reads or writes the disk.
pub struct PromptFolder {
    /// Whoever brings a prompt has it: one upload at once, because a file takes many times its bytes while it is read.
    pub upload: Arc<Semaphore>,
    /// How long an upload's body may take to come.
    pub upload_time: Duration,
    /// Writes a prompt, and where; calls that begin from then on hear it. Or says why it can't.
    pub put: Box<PutPrompt>,
    /// Takes a prompt away; `false`: there was none. Or says why it can't.
    pub remove: Box<RemovePrompt>,
    /// The files that can't be heard, and why, a line each.
    pub bad: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// What a reload came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reloaded {
    /// Prompts that can't be heard, and why, a line each.
    pub bad_prompts: Vec<String>,
    /// What was changed and is in force now: keys, and trunks by their names.
    pub taken: Vec<String>,
    /// Changed keys that wait for a restart.
    pub waiting: Vec<String>,
}

/// What conf is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfState {
    /// The main file.
    pub path: PathBuf,
    /// When it was read.
    pub read_at: Wall,
    /// By what: `start` or `reload`.
    pub by: &'static str,
    /// Keys that were changed since the start and wait for a restart.
    pub waiting: Vec<String>,
    /// How the files are now.
    pub on_disk: OnDisk,
}

/// How the conf's files are, beside what was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OnDisk {
    /// As they were read.
    Same,
    /// Changed since, and right: a reload would take them.
    Changed,
    /// Wrong: every fault, a line each. A restart would fail.
    Faulty(Vec<String>),
}

/// Whether new calls are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// They are.
    Serving,
    /// They are refused, until somebody wants them again; those in progress go on.
    Draining,
    /// They are refused, and the process ends when those in progress are over or their time is.
    Stopping,
}

impl Phase {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

/// Every endpoint, over one desk.
pub fn router(desk: Arc<Desk>) -> Router {
    of_owner(desk.clone()).merge(of_links(desk))
}

fn of_owner(desk: Arc<Desk>) -> Router {
    Router::new()
        .route(
            "/v1/bindings",
            get(bindings::list)
                .post(bindings::bind)
                .delete(bindings::unbind_all),
        )
        .route("/v1/bindings:batch", post(bindings::batch))
        .route("/v1/bindings:import", post(bulk::import))
        .route("/v1/bindings:restore", post(bulk::restore))
        .route("/v1/bindings:unbind", post(bulk::unbind))
        .route(
            "/v1/bindings/{id}",
            get(bindings::show)
                .patch(bindings::update)
                .delete(bindings::unbind),
        )
        .route("/v1/bindings/{id}/callee", put(callee::set).delete(callee::clear))
        .route("/v1/route", post(route::route))
        .route("/v1/calls", get(calls::list))
        .route("/v1/calls/{id}", delete(calls::hangup))
        .route("/v1/calls/{id}/trace", get(calls::trace))
        .route("/v1/calls/{id}/recording/{what}", post(calls::record))
        .route("/v1/cdrs", get(cdrs::list))
        .route("/v1/cdrs/{id}", get(cdrs::show))
        .route("/v1/recordings", get(recordings::list))
        .route("/v1/recordings/erase", post(recordings::erase))
        .route(
            "/v1/recordings/{id}",
            get(recordings::show).delete(recordings::remove),
        )
        .route("/v1/recordings/{id}/audio", get(recordings::audio))
        .route("/v1/recordings/{id}/chain", get(recordings::chain))
        .route("/v1/recordings/{id}/verify", post(recordings::verify))
        .route("/v1/recordings/{id}/link", post(recordings::link))
        .route("/v1/accounts", get(accounts::list).post(accounts::add))
        .route("/v1/accounts/{name}", get(accounts::show).patch(accounts::set))
        .route("/v1/accounts/{name}/{what}", post(accounts::act))
        .route("/v1/pools", get(pools::list).post(pools::add))
        .route("/v1/pools/{id}", get(pools::show).patch(pools::set))
        .route("/v1/pools/{id}/usage", get(pools::usage))
        .route("/v1/groups", get(groups::list).post(groups::add))
        .route(
            "/v1/groups/{id}",
            get(groups::show).patch(groups::set).delete(groups::remove),
        )
        .route(
            "/v1/groups/{id}/members",
            get(groups::members).post(groups::join).delete(groups::leave),
        )
        .route("/v1/numbers", get(numbers::list).post(numbers::add))
        .route("/v1/numbers:batch", post(numbers::add_all))
        .route("/v1/numbers/{x}", get(numbers::show).patch(numbers::set))
        .route("/v1/numbers/{x}/{what}", post(numbers::act))
        .route("/v1/trunks", get(trunks::list))
        .route("/v1/trunks/{name}/try", post(trunk_try::try_number))
        .route("/v1/trunks/{name}/{what}", post(trunks::act))
        .route("/v1/bans", get(bans::list).post(bans::add))
        .route("/v1/bans/{address}", delete(bans::remove))
        .route("/v1/status", get(node::status))
        .route("/v1/stop", post(node::stop))
        .route("/v1/drain", post(node::drain).delete(node::undrain))
        .route("/v1/reload", post(node::reload))
        .route("/v1/log", put(node::log))
        .route("/v1/prompts", get(prompts::list))
        .route(
            "/v1/prompts/{name}",
            get(prompts::show)
                .put(prompts::set)
                .delete(prompts::remove)
                .layer(DefaultBodyLimit::max(PROMPT_BYTES_MAX)),
        )
        .route("/v1/backup", get(backup::backup))
        .route("/healthz", get(node::healthz))
        .route("/readyz", get(node::readyz))
        .route("/metrics", get(node::metrics))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
}

/// What a signed link opens, and needs nothing else.
fn of_links(desk: Arc<Desk>) -> Router {
    let path = format!("{LINK_PATH}{{id}}");
    Router::new()
        .route(&path, get(recordings::by_link))
        .method_not_allowed_fallback(no_method)
        .with_state(desk)
}

/// The same endpoints for a TCP address of this machine. A browser runs strangers' pages, so a request is
/// refused (403) if it comes from a page of another site, or was sent to a name that a stranger's DNS may
/// have pointed here. A signed link opens from every page, by whatever name a proxy has.
pub fn router_on_loopback(desk: Arc<Desk>) -> Router {
    of_owner(desk.clone())
        .layer(middleware::from_fn(refuse_foreign_pages))
        .layer(Extension(recordings::OverTcp))
        .merge(of_links(desk))
}

async fn refuse_foreign_pages(request: Request, next: Next) -> Result<Response, ApiError> {
    if is_ours(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "foreign_page",
        "this address is for programs on this machine: name it by address or localhost, \
         not from a page of another site",
    ))
}

fn is_ours(headers: &HeaderMap) -> bool {
    // A value that is no text is as good as a foreign one.
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let authority = host.parse::<Authority>().ok();
    let name = authority.as_ref().map_or("", |a| a.host());
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_own_page = text(header::ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    (is_address || name == "localhost") && is_own_page
}

async fn nowhere() -> ApiError {
    ApiError::not_found("there is nothing at this path")
}

async fn no_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path is there, but not for this method",
    )
}

impl Desk {
    fn now(&self) -> Wall {
        (self.clock)().wall
    }

    /// Hands a write to the store at once; what becomes of it is the future's answer.
    fn submit(&self, write: Write) -> impl Future<Output = Result<Written, ApiError>> + use<> {
        let (sender, receiver) = oneshot::channel();
        let plan = self.config.load().numbers;
        // Nobody listens if the client hung up: what was written stays written.
        let reply = Box::new(move |outcome| drop(sender.send(outcome)));
        let queued = self.store.submit(write, reply);
        async move {
            queued.map_err(|full| ApiError::busy(full.to_string()))?;
            match receiver.await {
                Ok(Ok(written)) => {
                    log_write(&written);
                    Ok(written)
                }
                Ok(Err(error)) => Err(refusal::of(&error, &plan)),
                Err(_) => Err(ApiError::unavailable(
                    "store_unavailable",
                    "the store has stopped",
                )),
            }
        }
    }

    async fn write(&self, write: Write) -> Result<Written, ApiError> {
        self.submit(write).await
    }
}

/// What was done to numbers and pools an operator wants to find in the log; bindings come by the thousand.
fn log_write(written: &Written) {
    match written {
        Written::Account(account) => tracing::info!("account {} was written", account.name),
        Written::Pool(pool) => tracing::info!("pool {} was written", pool.name),
        Written::Number(number) => {
            tracing::info!("number {:?} is {} now", number.x, number.state.name());
        }
        Written::Binding(binding) => tracing::debug!("binding {} was written", binding.id),
        Written::Existing(binding) => tracing::debug!("binding {} was there already", binding.id),
        Written::Unbound(ids) => {
            for id in ids {
                tracing::debug!("binding {id} was unbound");
            }
        }
        Written::Callee(Some(callee)) => {
            tracing::debug!("binding {} was given a temporary callee", callee.binding);
        }
        Written::Group(group) => {
            tracing::info!("group {} was written, it has {} members", group.id, group.members);
        }
        Written::Callee(None) | Written::DryRun(_) => {}
    }
}

fn id_of(text: &str) -> Result<Id, ApiError> {
    text.parse()
        .map_err(|e| ApiError::bad("bad_id", "id", format!("{e}")))
}

fn bad_cursor() -> ApiError {
    ApiError::bad(
        "bad_cursor",
        "cursor",
        "this is no cursor: give the one that the last page named, or none",
    )
}

/// The writer answered another write than the one it was asked for.
fn crossed() -> ApiError {
    ApiError::ours("the writer gave an answer that belongs to another request")
}

/// Runs what waits for the disk where it keeps no other request waiting.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ApiError::ours("the work could not be done to its end"))
}
