//! The API under load: many clients, some of which never read. `MEMTRACE_LOAD_SECONDS=30 cargo test --test root load`
//! is the long form.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use memtrace::ingest::loss::Loss;

use crate::fixture::{
    PATIENCE,
    daemon::{Daemon, Place},
    eventually,
    http::{Client, PATHS},
    unexpected,
};

const CLIENTS: u32 = 50;
const UNREADING: u32 = 5;
const PER_SECOND: u32 = 1000;
/// What it may grow by meanwhile on a node with few processes. A reading of a large process that only one of the two
/// daemons does just then takes some 10 MiB; answers that are kept for clients without a bound take hundreds.
const MOST_GROWTH: u64 = 24 << 20;
/// What 50 connections take besides answers.
const CONNECTIONS: u64 = 1 << 20;
/// So much may stay: names that were looked up, answers of the last second.
const MOST_LEFT: u64 = 1 << 20;
/// After this much time it must have come back.
const BACK: Duration = Duration::from_secs(240);
/// Beside those with JSON.
const TEXTS: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

fn paths() -> impl Iterator<Item = &'static str> + Clone {
    PATHS.into_iter().chain(TEXTS)
}

fn seconds() -> u64 {
    std::env::var("MEMTRACE_LOAD_SECONDS").map_or(5, |seconds| seconds.parse().unwrap())
}

fn losses(daemon: &Daemon<'_>) -> Vec<Loss> {
    unexpected(&daemon.tracer().losses).into_iter().cloned().collect()
}

/// Waits until their sizes stay what they are.
fn rests(daemons: &[&Daemon<'_>]) {
    let sizes = || daemons.iter().map(|daemon| daemon.rss_bytes()).collect::<Vec<_>>();
    let (mut last, mut times) = (sizes(), 0);
    eventually("their sizes rest", PATIENCE, || {
        thread::sleep(Duration::from_millis(400));
        let now = sizes();
        times = if now == last { times + 1 } else { 0 };
        last = now;
        (times == 3).then_some(())
    });
}

/// Asks for big things and for the stream, and reads nothing.
fn unreading(place: &Place, n: u32) -> UnixStream {
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let path = if n.is_multiple_of(2) { "/v1/stream" } else { "/v1/snapshot" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    // Until it takes no more.
    for _ in 0..10_000 {
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
    }
    stream
}

#[test]
fn a_thousand_requests_a_second_and_clients_that_never_read() {
    let place = Place::new();
    let daemon = place.start(&[]);
    // Sees the same and is asked nothing: what history takes in meanwhile, both take.
    let unasked_place = Place::new();
    let unasked = unasked_place.start(&[]);
    // Every path once: what that takes for good is no growth.
    let mut warm = Client::unix(&place.socket());
    let mut answers = 0;
    for _ in 0..3 {
        answers = 0;
        for path in paths() {
            let answer = warm.get(path, "").unwrap();
            assert_eq!(answer.status, 200, "{path}");
            answers += answer.body.len() as u64;
        }
    }
    // Answers grow with the node. Those of this second and the last are kept, and whoever does not read keeps its own.
    let most_growth = MOST_GROWTH.max(CONNECTIONS + answers * (u64::from(UNREADING) + 2));
    rests(&[&daemon, &unasked]);
    let (before, lost_before) = (daemon.rss_bytes(), losses(&daemon));
    let apart = before.saturating_sub(unasked.rss_bytes());
    let growth = || daemon.rss_bytes().saturating_sub(unasked.rss_bytes()).saturating_sub(apart);
    let _silent: Vec<_> = (0..UNREADING).map(|n| unreading(&place, n)).collect();

    let (done, errors) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let active = CLIENTS - UNREADING;
    let pace = Duration::from_secs(1) * active / PER_SECOND;
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut highest = 0;
    thread::scope(|scope| {
        for n in 0..active {
            let (place, done, errors) = (&place, &done, &errors);
            scope.spawn(move || {
                let mut client = Client::unix(&place.socket());
                let mut next = Instant::now() + pace * n / active;
                for path in paths().cycle().skip(n as usize) {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    if Instant::now() >= end {
                        return;
                    }
                    next += pace;
                    match client.get(path, "") {
                        Ok(answer) if answer.status == 200 && !answer.body.is_empty() => {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        other => return errors.lock().unwrap().push(format!("{path}: {other:?}")),
                    }
                }
            });
        }
        while Instant::now() < end {
            highest = highest.max(growth());
            thread::sleep(Duration::from_millis(100));
        }
    });
    let errors = errors.into_inner().unwrap();
    let done = done.into_inner();
    println!(
        "{done} requests in {} s; RSS {before} B grew by at most {highest} B of {most_growth} B; one answer of each: \
         {answers} B",
        seconds()
    );
    assert_eq!(errors, Vec::<String>::new());
    // How many that is, is the machine's; every client is answered.
    assert!(done >= u64::from(active), "{done} requests in {} s", seconds());
    assert_eq!(losses(&daemon), lost_before);
    assert!(highest <= most_growth, "RSS of {before} B grew by {highest} B");
    let mut left = u64::MAX;
    let start = Instant::now();
    while left > MOST_LEFT && start.elapsed() < BACK {
        left = growth();
        thread::sleep(Duration::from_millis(200));
    }
    println!("after {:.0} s it has {left} B more", start.elapsed().as_secs_f64());
    assert!(left <= MOST_LEFT, "{left} B stay");
}
