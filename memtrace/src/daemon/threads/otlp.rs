//! Kills are sent to an OpenTelemetry collector, each once, in the order in which they were stored.
//!
//! The store, an address -> requests to the collector. The store is the spool: what the collector did not take yet is
//! there until retention deletes it, also over restarts. A file in the state directory has the number of the last kill
//! that was taken. Must not hold up anything: it reads with a connection of its own.

mod pause;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use hyper::{StatusCode, body::Bytes, header::RETRY_AFTER};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::rustls::ClientConfig;

use self::pause::Pause;
use crate::{
    export::otlp::{CONTENT_TYPE, Counts, PATH, Sent, rejected, request},
    http::{self, Address, Connection, tls},
    oom::record::OomRecord,
    store::{Store, StoreError},
};

/// How often the store is looked at. What is sent is as old as one interval at least: what becomes known of a kill in
/// the seconds after it is in it.
const EVERY: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });
/// Timeout of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Kills of one request; a kill has 2 to 4 KiB in this form, and 50 KiB in the store.
const MOST: u32 = 64;
/// The largest response that is read.
const LARGEST: usize = 64 << 10;
/// The file with the number of the last kill that was taken.
const FILE: &str = "otlp";
/// The longest file with headers.
const LONGEST: usize = 64 << 10;

/// Where to send, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `http://HOST:4318`, or the whole URL of the log service.
    pub url: String,
    /// A file with headers, such as one with a token: `Name: value`, one on each line.
    pub headers: Option<PathBuf>,
    /// Certificates to trust, for https.
    pub authority: Option<PathBuf>,
    /// Attributes of the node.
    pub node: Vec<(String, String)>,
}

/// Sends kills on the current runtime until it ends. Reads its files first, so that a wrong one is noticed at the start.
///
/// # Errors
/// When the URL, the headers or the certificates cannot be used.
pub fn start(config: &Config, state_dir: &Path) -> anyhow::Result<Sent> {
    let mut sender = Sender::new(config, state_dir)?;
    let sent = sender.sent.clone();
    tokio::spawn(async move {
        loop {
            sleep(sender.step().await).await;
        }
    });
    Ok(sent)
}

/// What is read of the store for one request.
#[derive(Debug, Default)]
struct Batch {
    after: i64,
    kills: Vec<OomRecord>,
    lost: u64,
    /// The newest number in the store.
    newest: i64,
}

struct Sender {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    headers: Vec<(String, String)>,
    node: Vec<(String, String)>,
    state_dir: PathBuf,
    /// The number of the last kill that was taken; `None` until the store was read.
    after: Option<i64>,
    /// The newest number at the last look.
    until: i64,
    /// The last number of a request that was refused: kills up to it are sent one by one, to find those that are refused.
    alone_until: i64,
    pause: Pause,
    sent: Sent,
}

/// How a request ended.
enum End {
    Taken {
        rejected: u64,
    },
    /// The collector will never take it.
    Refused(anyhow::Error),
    /// Again, after a while that the collector may have named.
    Failed(anyhow::Error, Option<Duration>),
}

impl Sender {
    fn new(config: &Config, state_dir: &Path) -> anyhow::Result<Self> {
        let Config { url, headers, authority, node } = config;
        let mut address = Address::parse(url, 4318, 4318).map_err(|error| anyhow!(error))?;
        if matches!(address.path.as_str(), "" | "/") {
            address.path = format!("/{PATH}");
        }
        let tls = match (address.is_tls, authority) {
            (false, _) => None,
            (true, None) => return Err(anyhow!("{url}: https needs certificates to trust: --otlp-ca FILE")),
            (true, Some(file)) => Some(tls::config(Some(file)).map_err(|error| anyhow!(error))?),
        };
        let mut all = vec![("content-type".to_owned(), CONTENT_TYPE.to_owned())];
        if let Some(file) = headers {
            all.extend(read_headers(file)?);
        }
        Ok(Self {
            address,
            tls,
            headers: all,
            node: node.clone(),
            state_dir: state_dir.to_owned(),
            after: None,
            until: 0,
            alone_until: 0,
            pause: Pause::default(),
            sent: Sent::default(),
        })
    }

    /// Sends one batch. Returns the time until the next.
    async fn step(&mut self) -> Duration {
        let (dir, after, until) = (self.state_dir.clone(), self.after, self.until);
        let most = if after.is_some_and(|after| after < self.alone_until) { 1 } else { MOST };
        let read = spawn_blocking(move || read(&dir, after, until, most)).await;
        let batch = match read {
            Ok(Ok(batch)) => batch,
            // There may be no store yet, or it is just being set aside.
            Ok(Err(error)) => {
                tracing::debug!(%error, "failed to read kills for the collector");
                return EVERY;
            }
            // After a panic, which is in the log, or at the end of the runtime.
            Err(_) => return EVERY,
        };
        self.until = batch.newest;
        let is_new = self.after != Some(batch.after);
        if batch.kills.is_empty() {
            self.took(&batch, Counts::default(), is_new);
            return EVERY;
        }
        let count = batch.kills.len() as u64;
        match self.send(&batch.kills).await {
            End::Taken { rejected } => {
                let rejected = rejected.min(count);
                self.took(&batch, Counts { sent: count - rejected, dropped: rejected, failures: 0 }, true);
                Duration::ZERO
            }
            End::Refused(error) if count > 1 => {
                tracing::debug!(%error, "the collector refused a request; sending its kills one by one");
                self.alone_until = batch.after;
                Duration::ZERO
            }
            End::Refused(error) => {
                let id = batch.kills.first().map(|kill| kill.id.as_str()).unwrap_or_default();
                tracing::warn!(%error, id, "the collector refused a kill; it is not sent again");
                self.took(&batch, Counts { dropped: 1, ..Counts::default() }, true);
                Duration::ZERO
            }
            End::Failed(error, asked) => {
                if self.pause.is_first() {
                    tracing::warn!("failed to send kills to the collector, trying again: {error:#}");
                }
                self.sent.add(Counts { failures: 1, ..Counts::default() });
                self.pause.after_failure(asked)
            }
        }
    }

    /// Notes what became of a batch.
    fn took(&mut self, batch: &Batch, counts: Counts, is_new: bool) {
        self.sent.add(Counts { dropped: counts.dropped + batch.lost, ..counts });
        if batch.lost > 0 {
            tracing::warn!(
                count = batch.lost,
                "kills were deleted or damaged before the collector took them"
            );
        }
        self.pause = Pause::default();
        if self.after.is_some_and(|after| batch.after < after) {
            // The store was begun anew, and its numbers with it.
            self.alone_until = 0;
        }
        self.after = Some(batch.after);
        if is_new && let Err(error) = keep(&self.state_dir, batch.after) {
            // They are sent again after a restart; each has an id.
            tracing::warn!(%error, "failed to note which kills the collector took");
        }
    }

    async fn send(&self, kills: &[OomRecord]) -> End {
        let body = Bytes::from(request(kills, &self.node));
        let exchange = http::in_time(PATIENCE, async {
            let Address { host, port, path, .. } = &self.address;
            let connection = match &self.tls {
                None => Connection::tcp(host, *port).await?,
                Some(tls) => Connection::tls(host, *port, Arc::clone(tls)).await?,
            };
            let answer = connection.post(host, path, &self.headers, body).await?;
            let status = answer.status();
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = http::body(answer, LARGEST).await.unwrap_or_default();
            Ok((status, asked.map(Duration::from_secs), body))
        });
        match exchange.await {
            Err(error) => End::Failed(error, None),
            Ok((status, _, body)) if status.is_success() => {
                let rejected = rejected(&body);
                if let Some((count, why)) = &rejected {
                    tracing::warn!(count, why = %crate::text::printable(why), "the collector rejected kills");
                }
                End::Taken { rejected: rejected.map_or(0, |(count, _)| count) }
            }
            Ok((status, asked, _)) => {
                let error = anyhow!("it answered {status}");
                if is_passing(status) { End::Failed(error, asked) } else { End::Refused(error) }
            }
        }
    }
}

/// The statuses after which OTLP lets a client try again, and those that say that something before the collector is
/// wrong: a wrong token is replaced, a path is mended, and no kill is lost until then.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status.is_redirection()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
        )
}

/// The kills that are due. `until` is the newest at the last look.
fn read(state_dir: &Path, after: Option<i64>, until: i64, most: u32) -> Result<Batch, StoreError> {
    let store = Store::open_read_only(state_dir)?;
    let newest = store.last_number()?;
    // The first start sends what happens from now on; a store that was begun anew is sent from its beginning.
    let after = match after.or_else(|| kept(state_dir)) {
        Some(after) if after <= newest => after,
        Some(_) => 0,
        None => newest,
    };
    let stored = store.stored_after(after, until.min(newest), most)?;
    let lost = stored.damaged + if stored.last.is_some() { stored.deleted } else { 0 };
    Ok(Batch { after: stored.last.unwrap_or(after), kills: stored.kills, lost, newest })
}

/// The number of the last kill that was taken.
fn kept(state_dir: &Path) -> Option<i64> {
    fs::read_to_string(state_dir.join(FILE)).ok()?.trim().parse().ok().filter(|number| *number >= 0)
}

fn keep(state_dir: &Path, after: i64) -> io::Result<()> {
    let new = state_dir.join(format!("{FILE}.new"));
    fs::write(&new, format!("{after}\n"))?;
    fs::rename(new, state_dir.join(FILE))
}

/// `Name: value`, one on each line.
fn read_headers(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let failed = || format!("failed to read headers from {}", file.display());
    let text = fs::read_to_string(file).with_context(failed)?;
    anyhow::ensure!(text.len() <= LONGEST, "{}: it is too long", failed());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let pair = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let (name, value) = pair
                .filter(|(name, value)| {
                    hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                        && hyper::header::HeaderValue::from_str(value).is_ok()
                })
                // The line may be a secret.
                .ok_or_else(|| anyhow!("{}: expected `Name: value` on each line", failed()))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
