//! A plain-HTTP proxy on loopback in front of the API server, in which a scenario delays, breaks, cuts and counts what the
//! operator and its workers ask for.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Matches = Box<dyn Fn(&Request) -> bool + Send + Sync>;

/// A request that came by.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path with its query.
    pub uri: Uri,
    /// Whether a Helm worker asked. Otherwise the operator did.
    pub by_worker: bool,
    /// Whether it asks for metadata alone.
    pub of_metadata: bool,
}

impl Request {
    /// Whether it is about objects of a kind, such as `deployments`, or one of them.
    pub fn is_of(&self, plural: &str) -> bool {
        self.uri.path().split('/').any(|part| part == plural)
    }

    /// Whether it asks for all objects of a kind.
    pub fn is_list(&self, plural: &str) -> bool {
        self.asks_for_all(plural) && !self.is_watch()
    }

    /// Whether it follows the objects of a kind.
    pub fn is_watch_of(&self, plural: &str) -> bool {
        self.asks_for_all(plural) && self.is_watch()
    }

    /// Whether it changes something in the fleet. The operator's Lease and its Events are no part of it.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && !self.is_of("leases")
            && !self.is_of("events")
    }

    fn asks_for_all(&self, plural: &str) -> bool {
        self.method == Method::GET && self.uri.path().rsplit('/').next() == Some(plural)
    }

    fn is_watch(&self) -> bool {
        self.uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.by_worker { "worker" } else { "operator" };
        write!(f, "{by} {} {}", self.method, self.uri)
    }
}

/// What happens to requests that match.
#[derive(Clone)]
enum Fate {
    /// They wait until the rule ends.
    Wait(watch::Receiver<bool>),
    /// They are refused.
    Refuse(StatusCode),
    /// Their answers hold another text.
    Rewrite(String, String),
    /// What a watch has to tell waits until the rule ends.
    Lag(watch::Receiver<bool>),
}

struct Rule {
    id: u64,
    matches: Matches,
    fate: Fate,
}

struct Shared {
    cluster: Client,
    token: PathBuf,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Request>>,
    ids: AtomicU64,
    /// Counts the cuts: a connection that sees it change ends.
    cuts: watch::Sender<u64>,
    /// The kinds whose watches are told to begin anew.
    expired: broadcast::Sender<String>,
}

/// The proxy. It ends with this value.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    server: AbortHandle,
}

/// What a scenario asked for. It ends with this value.
#[must_use = "it ends as soon as it is dropped"]
pub struct Disturbance {
    shared: Arc<Shared>,
    id: u64,
    end: watch::Sender<bool>,
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        locked(&self.shared.rules).retain(|rule| rule.id != self.id);
        self.end.send_replace(true);
    }
}

impl Proxy {
    /// Starts a proxy to a cluster. `token` is the file with the token of who does not bring one: client-go sends none
    /// over plain HTTP.
    pub async fn start(cluster: Client, token: PathBuf) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            cluster,
            token,
            rules: Mutex::default(),
            seen: Mutex::default(),
            ids: AtomicU64::default(),
            cuts: watch::Sender::new(0),
            expired: broadcast::Sender::new(64),
        });
        let server: JoinHandle<()> = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, port, server: server.abort_handle() })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests that match wait until the value is dropped.
    pub fn delay(&self, matches: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Disturbance {
        let end = watch::Sender::new(false);
        let fate = Fate::Wait(end.subscribe());
        self.disturb(Box::new(matches), fate, end)
    }

    /// Watches that match tell nothing until the value is dropped, those that are open already, too; then they tell everything.
    pub fn lag(&self, matches: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Disturbance {
        let end = watch::Sender::new(false);
        let fate = Fate::Lag(end.subscribe());
        self.disturb(Box::new(matches), fate, end)
    }

    /// Requests that match are refused until the value is dropped.
    pub fn refuse(
        &self,
        status: StatusCode,
        matches: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Disturbance {
        self.disturb(Box::new(matches), Fate::Refuse(status), watch::Sender::new(false))
    }

    /// The operator reads `to` where the API server writes `from`, until the value is dropped.
    pub fn rewrite(&self, from: &str, to: &str) -> Disturbance {
        let fate = Fate::Rewrite(from.to_owned(), to.to_owned());
        self.disturb(Box::new(|request| !request.by_worker), fate, watch::Sender::new(false))
    }

    fn disturb(&self, matches: Matches, fate: Fate, end: watch::Sender<bool>) -> Disturbance {
        let id = self.shared.ids.fetch_add(1, Ordering::Relaxed);
        locked(&self.shared.rules).push(Rule { id, matches, fate });
        Disturbance { shared: Arc::clone(&self.shared), id, end }
    }

    /// Ends every connection, as a restart of the API server does.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// Tells every watch of a kind `410 Gone`: what follows is another list.
    pub fn expire(&self, plural: &str) {
        // Without any watch nobody need be told.
        let _ = self.shared.expired.send(plural.to_owned());
    }

    /// The requests that match, oldest first, since the beginning or [`Proxy::forget`].
    pub fn seen(&self, matches: impl Fn(&Request) -> bool) -> Vec<Request> {
        locked(&self.shared.seen).iter().filter(|request| matches(request)).cloned().collect()
    }

    /// Counts from here on.
    pub fn forget(&self) {
        locked(&self.shared.seen).clear();
    }

    /// Waits until a request that matches has come by.
    pub async fn sees(&self, what: &str, matches: impl Fn(&Request) -> bool) -> Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        while self.seen(&matches).is_empty() {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "nobody asked for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
        self.cut();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Clients that go away are none of the proxy's concern.
        _ = connection => {}
        _ = cuts.changed() => {}
    }
}

async fn answer(shared: &Arc<Shared>, incoming: http::Request<Incoming>) -> Answer {
    let accepts = incoming.headers().get(ACCEPT).and_then(|accepts| accepts.to_str().ok());
    let seen = Request {
        method: incoming.method().clone(),
        uri: incoming.uri().clone(),
        by_worker: !incoming.headers().contains_key(AUTHORIZATION),
        of_metadata: accepts.is_some_and(|accepts| accepts.contains("PartialObjectMetadata")),
    };
    locked(&shared.seen).push(seen.clone());
    let fate = locked(&shared.rules).iter().find(|rule| (rule.matches)(&seen)).map(|rule| rule.fate.clone());
    let mut rewritten = None;
    match fate {
        Some(Fate::Refuse(status)) => return refusal(status, "refused by the proxy"),
        Some(Fate::Wait(mut end)) => drop(end.wait_for(|ended| *ended).await),
        Some(Fate::Rewrite(from, to)) => rewritten = Some((from, to)),
        Some(Fate::Lag(_)) | None => {}
    }
    match forward(shared, &seen, incoming, rewritten).await {
        Ok(answer) => answer,
        Err(error) => refusal(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError", "message": message,
        "code": status.as_u16(),
    });
    let whole = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(whole);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

async fn forward(
    shared: &Arc<Shared>,
    seen: &Request,
    incoming: http::Request<Incoming>,
    rewritten: Option<(String, String)>,
) -> Result<Answer> {
    // From here on, so that what expires while the list is on its way is not lost.
    let expired = shared.expired.subscribe();
    let (mut parts, body) = incoming.into_parts();
    for header in [HOST, CONNECTION, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    if seen.by_worker {
        let token = std::fs::read_to_string(&shared.token)?;
        parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", token.trim()))?);
    }
    parts.version = http::Version::HTTP_11;
    let body = body.collect().await?.to_bytes();
    let response = shared.cluster.send(http::Request::from_parts(parts, Body::from(body))).await?;
    let (mut parts, body) = response.into_parts();
    for header in [CONNECTION, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    let body = match rewritten {
        Some((from, to)) => {
            parts.headers.remove(CONTENT_LENGTH);
            rewrite(body, seen.is_watch(), &from, &to).await?
        }
        None => whole(body),
    };
    let body = if seen.is_watch() { watched(body, seen.clone(), Arc::clone(shared), expired) } else { body };
    Ok(Response::from_parts(parts, body))
}

/// The body with another text in the place of `from`: line by line as they come if it is a watch.
async fn rewrite(body: Body, is_watch: bool, from: &str, to: &str) -> Result<UnsyncBoxBody<Bytes, BoxError>> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let replace = move |bytes: &[u8]| Bytes::from(String::from_utf8_lossy(bytes).replace(&from, &to));
    if !is_watch {
        let body = Full::new(replace(&body.collect().await?.to_bytes()));
        return Ok(body.map_err(|never| match never {}).boxed_unsync());
    }
    let mut begun = Vec::new();
    let lines = BodyStream::new(body).map(move |frame| {
        let frame = frame.map_err(BoxError::from)?;
        begun.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        let end = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
        let rest = begun.split_off(end);
        Ok(Frame::data(replace(&std::mem::replace(&mut begun, rest))))
    });
    Ok(StreamBody::new(lines).boxed_unsync())
}

fn whole(body: Body) -> UnsyncBoxBody<Bytes, BoxError> {
    body.map_err(BoxError::from).boxed_unsync()
}

/// A watch as it comes, until it expires: then one event more, between two lines.
fn watched(
    body: UnsyncBoxBody<Bytes, BoxError>,
    request: Request,
    shared: Arc<Shared>,
    expired: broadcast::Receiver<String>,
) -> UnsyncBoxBody<Bytes, BoxError> {
    struct State {
        frames: BodyStream<UnsyncBoxBody<Bytes, BoxError>>,
        expired: broadcast::Receiver<String>,
        between_lines: bool,
    }
    let state = State { frames: BodyStream::new(body), expired, between_lines: true };
    let frames = futures::stream::unfold(Some(state), move |state| {
        let (request, shared) = (request.clone(), Arc::clone(&shared));
        async move {
            let mut state = state?;
            let gone = async |expired: &mut broadcast::Receiver<String>| {
                loop {
                    match expired.recv().await {
                        Ok(kind) if request.is_watch_of(&kind) => return,
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => std::future::pending().await,
                    }
                }
            };
            tokio::select! {
                () = gone(&mut state.expired), if state.between_lines => Some((Ok(Frame::data(gone_event())), None)),
                frame = state.frames.next() => {
                    let frame = frame?;
                    if let Some(mut end) = lagging(&shared, &request) {
                        drop(end.wait_for(|ended| *ended).await);
                    }
                    if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
                        state.between_lines = data.last() == Some(&b'\n');
                    }
                    Some((frame, Some(state)))
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn lagging(shared: &Shared, request: &Request) -> Option<watch::Receiver<bool>> {
    locked(&shared.rules).iter().find_map(|rule| match &rule.fate {
        Fate::Lag(end) if (rule.matches)(request) => Some(end.clone()),
        _ => None,
    })
}

fn gone_event() -> Bytes {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version",
    });
    Bytes::from(format!("{}\n", json!({ "type": "ERROR", "object": status })))
}
