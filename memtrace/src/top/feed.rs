//! The data source of the live view: the daemon's stream, or /proc without a daemon.
//!
//! A socket -> [`News`]. Runs in a thread of its own; reconnects to a daemon that is gone, and reports it. Must not
//! wait for the receiver of the news.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    app::{Link, News},
    format,
    rows::ProcessId,
};
use crate::{
    api::{
        client::{self, ClientError, Lines},
        v1::{Kills, Update, path},
    },
    oom::record::OomRecord,
    probe::status::ProbeStatus,
    snapshot::{ProcessRow, Snapshot},
};

/// Delay before reconnecting to the daemon.
const RETRY: Duration = Duration::from_secs(1);
/// The length of a step through time.
const STEP: SignedDuration = SignedDuration::from_secs(10);
/// How often kills are requested when the count has not changed.
const KILLS: Duration = Duration::from_secs(10);

/// A request of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The record of a kill.
    Record(String),
    /// Steps forward in time, or back if negative.
    Step(isize),
    /// The symbol names of a process's call stacks, at each update; `None` to stop.
    Names(Option<ProcessId>),
}

/// The source without a daemon: a reading of /proc.
pub type Local = Box<dyn FnMut() -> anyhow::Result<Snapshot> + Send>;

/// Why there is no daemon, in words.
pub type Reason = Box<dyn FnMut() -> String + Send>;

/// The configuration of the feed.
pub struct Config {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Whether the view started this daemon itself.
    pub is_own: bool,
    /// Seconds between two updates.
    pub every: Duration,
    /// Show history at this time instead of the present.
    pub at: Option<Timestamp>,
    /// The source without a daemon.
    pub local: Local,
    /// Why that source is used.
    pub reason: Reason,
}

/// Starts the feed; `tell` returns whether the receiver still exists.
///
/// # Errors
/// When its thread cannot be started.
pub fn start(
    config: Config,
    tell: impl Fn(News) -> bool + Send + 'static,
) -> anyhow::Result<UnboundedSender<Question>> {
    let (sender, questions) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the client's runtime")?;
    let feed = Feed { config, tell, questions, names_of: None, kills_known: None, kills_asked: None };
    let run = move || runtime.block_on(feed.run());
    std::thread::Builder::new().name("feed".to_owned()).spawn(run).context("failed to start a thread")?;
    Ok(sender)
}

/// The receiver is gone.
struct Unheard;

struct Feed<Tell> {
    config: Config,
    tell: Tell,
    questions: UnboundedReceiver<Question>,
    names_of: Option<ProcessId>,
    /// The daemon's count of kills when they were last read, and the time of that.
    kills_known: Option<u64>,
    kills_asked: Option<Instant>,
}

impl<Tell: Fn(News) -> bool> Feed<Tell> {
    async fn run(mut self) {
        // It ends when the receiver is gone.
        let Err(Unheard) = self.feed().await;
    }

    async fn feed(&mut self) -> Result<std::convert::Infallible, Unheard> {
        if let Some(at) = self.config.at {
            return self.go_back(at).await;
        }
        let mut had_daemon = false;
        loop {
            let mut is_refused = false;
            let link = match client::lines(&self.config.socket, path::STREAM).await {
                Ok(lines) => {
                    had_daemon = true;
                    self.tell(News::Link(if self.config.is_own { Link::Own } else { Link::Daemon }))?;
                    let why = self.follow(lines).await?;
                    Link::Lost(why)
                }
                Err(ClientError::NoDaemon(_)) if !had_daemon => Link::Proc((self.config.reason)()),
                Err(ClientError::NotPermitted(_)) if !had_daemon => {
                    is_refused = true;
                    Link::Proc(format!("not permitted to ask the daemon at {}", self.socket().display()))
                }
                Err(error) => Link::Lost(error.to_string()),
            };
            let is_local = matches!(link, Link::Proc(_));
            self.tell(News::Link(link))?;
            if is_local {
                self.read_locally(is_refused).await?;
            } else {
                self.answer_for(RETRY).await?;
            }
        }
    }

    fn socket(&self) -> &Path {
        &self.config.socket
    }

    fn tell(&self, news: News) -> Result<(), Unheard> {
        if (self.tell)(news) { Ok(()) } else { Err(Unheard) }
    }

    /// Follows a stream to its end. Returns why it ended.
    async fn follow(&mut self, mut lines: Lines) -> Result<String, Unheard> {
        (self.kills_known, self.kills_asked) = (None, None);
        if let Ok(probes) = client::ask::<ProbeStatus>(self.socket(), path::PROBES).await {
            self.tell(News::Probes(Arc::new(probes)))?;
        }
        let mut next = Instant::now();
        loop {
            tokio::select! {
                line = lines.next() => match line {
                    Ok(Some(_)) if Instant::now() + Duration::from_millis(100) < next => {}
                    Ok(Some(line)) => {
                        next = Instant::now() + self.config.every;
                        match serde_json::from_slice::<Update>(&line) {
                            Ok(update) => self.update(update).await?,
                            Err(error) => return Ok(format!("failed to parse its answer: {error}")),
                        }
                    }
                    Ok(None) => return Ok("it closed the stream".to_owned()),
                    Err(error) => return Ok(format!("{error:#}")),
                },
                question = self.questions.recv() => self.answer(question).await?,
            }
        }
    }

    async fn update(&mut self, update: Update) -> Result<(), Unheard> {
        let kills = update.snapshot.tracer.as_ref().map(|tracer| tracer.kills);
        self.tell(News::Update(update))?;
        let is_due =
            self.kills_asked.is_none_or(|asked| asked.elapsed() >= KILLS) || self.kills_known != kills;
        if is_due {
            (self.kills_asked, self.kills_known) = (Some(Instant::now()), kills);
            let kills = client::ask::<Kills>(self.socket(), path::KILLS).await;
            self.tell(News::Kills(kills.ok().map(Arc::new)))?;
        }
        self.names().await
    }

    async fn names(&self) -> Result<(), Unheard> {
        let Some(ProcessId { pid, .. }) = self.names_of else { return Ok(()) };
        match client::ask::<ProcessRow>(self.socket(), &format!("{}{pid}", path::PROCESSES)).await {
            Ok(row) => self.tell(News::Named(Arc::new(row))),
            // The process has ended, which the next update shows.
            Err(_) => Ok(()),
        }
    }

    async fn answer(&mut self, question: Option<Question>) -> Result<(), Unheard> {
        match question {
            None => Err(Unheard),
            Some(Question::Step(_)) => Ok(()),
            Some(Question::Names(of)) => {
                self.names_of = of;
                self.names().await
            }
            Some(Question::Record(id)) => {
                let path = format!("{}{id}", path::KILL);
                let record = client::ask::<OomRecord>(self.socket(), &path).await;
                let record =
                    record.map(Box::new).map_err(|error| format!("{:#}", anyhow::Error::from(error)));
                self.tell(News::Report(record))
            }
        }
    }

    /// Shows the history at a time, and at other times on request.
    async fn go_back(&mut self, mut at: Timestamp) -> Result<std::convert::Infallible, Unheard> {
        self.tell(News::Link(Link::Past))?;
        let kills = client::ask::<Kills>(self.socket(), path::KILLS).await;
        self.tell(News::Kills(kills.ok().map(Arc::new)))?;
        loop {
            match client::ask::<Update>(self.socket(), &format!("{}{at}", path::HISTORY)).await {
                Ok(update) => self.tell(News::Update(update))?,
                Err(error) => {
                    let why = anyhow::Error::from(error);
                    self.tell(News::Said(format!(
                        "failed to show {} from history: {why:#}",
                        format::time(at)
                    )))?;
                }
            }
            loop {
                match self.questions.recv().await {
                    Some(Question::Step(by)) => {
                        let step = STEP.checked_mul(i32::try_from(by).unwrap_or(0)).unwrap_or_default();
                        at = at.checked_add(step).unwrap_or(at).min(Timestamp::now());
                        break;
                    }
                    other => self.answer(other).await?,
                }
            }
        }
    }

    /// Answers requests for this time.
    async fn answer_for(&mut self, time: Duration) -> Result<(), Unheard> {
        let end = tokio::time::sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                question = self.questions.recv() => self.answer(question).await?,
            }
        }
    }

    /// Reads /proc until a daemon answers; tries to connect at each reading.
    async fn read_locally(&mut self, is_refused: bool) -> Result<(), Unheard> {
        loop {
            match (self.config.local)() {
                Ok(snapshot) => {
                    if !is_refused {
                        let why = (self.config.reason)();
                        self.tell(News::Link(Link::Proc(why)))?;
                    }
                    let update = Update { snapshot: Arc::new(snapshot), insights: Arc::default() };
                    self.tell(News::Update(update))?;
                }
                Err(error) => self.tell(News::Link(Link::Proc(format!("{error:#}"))))?,
            }
            self.answer_for(self.config.every).await?;
            if tokio::net::UnixStream::connect(self.socket()).await.is_ok() {
                return Ok(());
            }
        }
    }
}
