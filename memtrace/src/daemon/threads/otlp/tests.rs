use std::{
    collections::VecDeque,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Config, Counts, Sender, kept, read_headers};
use crate::{
    export::otlp::{ids, rejecting},
    store::{Store, fixture::record},
};

/// What a collector was sent: the ids of each request, and its head.
#[derive(Default)]
struct Got {
    requests: Vec<Vec<String>>,
    heads: Vec<String>,
}

/// A collector that answers by a function of the ids that it got.
struct Collector {
    url: String,
    got: Arc<Mutex<Got>>,
    serving: JoinHandle<()>,
}

impl Collector {
    async fn start(answer: impl Fn(&[String]) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::<Mutex<Got>>::default();
        let serving = tokio::spawn({
            let got = Arc::clone(&got);
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let (head, body) = request(&mut stream).await;
                    let ids = ids(&body);
                    let answer = answer(&ids);
                    {
                        let mut got = got.lock().unwrap();
                        got.requests.push(ids);
                        got.heads.push(head);
                    }
                    // A client that has its answer may be gone.
                    let _ = stream.write_all(&answer).await;
                }
            }
        });
        Self { url, got, serving }
    }

    fn requests(&self) -> Vec<Vec<String>> {
        self.got.lock().unwrap().requests.clone()
    }

    fn ids(&self) -> Vec<String> {
        self.requests().concat()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await.unwrap();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(_: &[String]) -> Vec<u8> {
    answer("200 OK", "", b"")
}

struct Place(tempfile::TempDir, Store);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self(dir, store)
    }

    fn kills(&mut self, numbers: std::ops::Range<u32>) -> Vec<String> {
        let records: Vec<_> = numbers.map(record).collect();
        self.1.insert_kills(&records).unwrap();
        records.into_iter().map(|record| record.id).collect()
    }

    fn sender(&self, url: &str) -> Sender {
        Sender::new(&Config { url: url.to_owned(), ..Config::default() }, self.0.path()).unwrap()
    }

    /// The sender of a daemon that has seen the store as it is now.
    async fn started(&self, url: &str) -> Sender {
        let mut sender = self.sender(url);
        sender.step().await;
        sender
    }
}

/// Sends until two looks in a row found nothing; at most so often.
async fn drain(sender: &mut Sender, most: u32) {
    let mut quiet = 0;
    for _ in 0..most {
        let before = (sender.sent.counts(), sender.until);
        sender.step().await;
        quiet = if before == (sender.sent.counts(), sender.until) { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
    }
    panic!("it does not come to rest");
}

#[tokio::test]
async fn kills_after_the_first_start_arrive_once_in_order_over_restarts() {
    let mut place = Place::new();
    place.kills(0..3);
    let collector = Collector::start(ok).await;
    let mut sender = place.started(&collector.url).await;
    let first = place.kills(3..203);
    drain(&mut sender, 50).await;
    assert_eq!(collector.ids(), first, "without those from before the first start");
    drop(sender);
    let second = place.kills(203..206);
    let mut sender = place.sender(&collector.url);
    drain(&mut sender, 50).await;
    assert_eq!(collector.ids(), [first, second].concat());
    assert_eq!(sender.sent.counts(), Counts { sent: 3, ..Counts::default() });
    let head = collector.got.lock().unwrap().heads[0].clone();
    assert!(head.starts_with("POST /v1/logs HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
}

#[tokio::test]
async fn what_is_stored_is_sent_at_the_look_after() {
    let mut place = Place::new();
    let collector = Collector::start(ok).await;
    let mut sender = place.started(&collector.url).await;
    let kills = place.kills(0..1);
    sender.step().await;
    assert!(collector.ids().is_empty(), "more may become known of it");
    sender.step().await;
    assert_eq!(collector.ids(), kills);
}

#[tokio::test]
async fn a_collector_that_is_away_loses_no_kill() {
    let mut place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut sender = place.started(&url).await;
    let kills = place.kills(0..100);
    for _ in 0..5 {
        sender.step().await;
    }
    let counts = sender.sent.counts();
    assert!(counts.failures >= 3 && counts.sent == 0 && counts.dropped == 0, "{counts:?}");
    let collector = Collector::start(ok).await;
    let mut sender = place.sender(&collector.url);
    drain(&mut sender, 50).await;
    assert_eq!(collector.ids(), kills);
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_when_it_says() {
    for status in ["429 Too Many Requests", "503 Service Unavailable", "401 Unauthorized", "404 Not Found"] {
        let mut place = Place::new();
        let kills = place.kills(0..0);
        assert!(kills.is_empty());
        let tries = Mutex::new(VecDeque::from([true, true]));
        let status = status.to_owned();
        let collector = Collector::start(move |_| match tries.lock().unwrap().pop_front() {
            Some(_) => answer(&status, "retry-after: 40\r\n", b"<html>"),
            None => answer("200 OK", "", b"garbage"),
        })
        .await;
        let mut sender = place.started(&collector.url).await;
        let kills = place.kills(0..2);
        sender.step().await;
        for _ in 0..2 {
            assert!(sender.step().await >= Duration::from_secs(40));
        }
        drain(&mut sender, 10).await;
        assert_eq!(collector.requests(), [kills.clone(), kills.clone(), kills]);
        assert_eq!(sender.sent.counts(), Counts { sent: 2, dropped: 0, failures: 2 });
    }
}

#[tokio::test]
async fn kills_that_are_refused_do_not_hold_up_the_others_and_are_asked_about_once() {
    let mut place = Place::new();
    let bad = [record(1).id, record(3).id];
    let is_bad = |bad: &[String; 2], ids: &[String]| ids.iter().any(|id| bad.contains(id));
    let collector = Collector::start({
        let bad = bad.clone();
        move |ids| if is_bad(&bad, ids) { answer("400 Bad Request", "", b"") } else { ok(ids) }
    })
    .await;
    let mut sender = place.started(&collector.url).await;
    let kills = place.kills(0..5);
    drain(&mut sender, 50).await;
    let (refused, taken): (Vec<_>, Vec<_>) =
        collector.requests().into_iter().partition(|ids| is_bad(&bad, ids));
    assert_eq!(taken.concat(), kills.into_iter().filter(|id| !bad.contains(id)).collect::<Vec<_>>());
    assert_eq!(refused.len(), 3, "all at once, then each of them alone: {refused:?}");
    assert_eq!(sender.sent.counts(), Counts { sent: 3, dropped: 2, failures: 0 });
}

#[tokio::test]
async fn what_the_collector_rejects_is_counted() {
    let mut place = Place::new();
    let collector = Collector::start(|_| answer("200 OK", "", &rejecting(2))).await;
    let mut sender = place.started(&collector.url).await;
    place.kills(0..3);
    drain(&mut sender, 50).await;
    assert_eq!(sender.sent.counts(), Counts { sent: 1, dropped: 2, failures: 0 });
}

#[tokio::test]
async fn a_store_that_was_begun_anew_is_sent_from_its_beginning() {
    let mut place = Place::new();
    place.kills(0..5);
    let collector = Collector::start(ok).await;
    let mut sender = place.started(&collector.url).await;
    assert_eq!(kept(place.0.path()), Some(5));
    let Place(dir, store) = place;
    drop(store);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("memtrace.db") {
            fs::remove_file(path).unwrap();
        }
    }
    let store = Store::open(dir.path()).unwrap();
    let mut place = Place(dir, store);
    let kills = place.kills(7..9);
    drain(&mut sender, 50).await;
    assert_eq!(collector.ids(), kills);
}

#[test]
fn headers_are_read_or_an_error_that_does_not_say_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    fs::write(&file, "Authorization: Bearer a:b\n\n X-Scope: node \n").unwrap();
    let pairs = read_headers(&file).unwrap();
    assert_eq!(
        pairs,
        [("Authorization", "Bearer a:b"), ("X-Scope", "node")].map(|(a, b)| (a.into(), b.into()))
    );
    for wrong in ["secret", "a secret: x", "x: a\u{1}secret"] {
        fs::write(&file, wrong).unwrap();
        let error = format!("{:#}", read_headers(&file).unwrap_err());
        assert!(error.contains("headers") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_wrong_configuration_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let error = |config: &Config| format!("{:#}", Sender::new(config, dir.path()).err().unwrap());
    let of = |url: &str| Config { url: url.to_owned(), ..Config::default() };
    assert!(error(&of("collector:4318")).contains("must start with"));
    assert!(error(&of("https://c")).contains("--otlp-ca"));
    let absent = Some(dir.path().join("absent"));
    assert!(error(&Config { headers: absent.clone(), ..of("http://c") }).contains("absent"));
    assert!(error(&Config { authority: absent, ..of("https://c") }).contains("absent"));
    assert_eq!(Sender::new(&of("http://c/otlp/v1/logs"), dir.path()).unwrap().address.path, "/otlp/v1/logs");
}
