//! `/v1/backup`: a whole snapshot as one long body, while the server goes on.

use std::convert::Infallible;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::{Desk, blocking};
use crate::api::error::ApiError;
use crate::store::follow::Taken;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;
/// Pieces that are read ahead of the client.
const AHEAD: usize = 4;

/// `GET /v1/backup` → the file of a snapshot that holds everything acknowledged before this was asked. Its own
/// trailer tells whether it is whole: a body that was cut short has none.
pub(super) async fn backup(State(desk): State<Arc<Desk>>) -> Result<Response, ApiError> {
    let store = desk.store.clone();
    let taken = blocking(move || store.snapshot())
        .await?
        .map_err(|why| ApiError::unavailable("no_snapshot", why.to_string()))?;
    tracing::info!(seq = taken.seq, "a backup was asked for");
    let length = taken
        .file
        .metadata()
        .map_err(|e| ApiError::ours(e.to_string()))?
        .len();
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || read_pieces(taken, &sender));
    let kind = "application/octet-stream";
    let head = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((head, Body::new(Pieces(pieces))).into_response())
}

/// Reads until the end, or until nobody listens. A disk that fails ends the body too early, which the length
/// tells.
fn read_pieces(mut taken: Taken, to: &mpsc::Sender<Bytes>) {
    loop {
        let mut piece = vec![0; PIECE];
        match taken.file.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => {
                piece.truncate(count);
                if to.blocking_send(piece.into()).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the snapshot could not be read");
                return;
            }
        }
    }
}

/// The pieces of a body as they come.
pub(super) struct Pieces(pub(super) mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
