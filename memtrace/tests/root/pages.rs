//! The pages for browsers: who gets them, that they lead from a node to a kill, and that viewers cost little.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
};

use crate::{
    api::address,
    fixture::{
        PATIENCE, cgroup::Cgroup, daemon::Place, eventually, http::Client, kernel_log::KernelLog, mib,
        program::Program,
    },
};

const TOKEN: &str = "0123456789abcdef";
/// `printf 'me:0123456789abcdef' | base64`
const PASSWORD: &str = "Authorization: Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
/// Streams of the daemon at most.
const VIEWERS: usize = 64;

/// The whole answer, head and body.
fn whole(mut stream: impl std::io::Read + std::io::Write, path: &str, host: &str, fields: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn ask(place: &Place, path: &str) -> String {
    whole(UnixStream::connect(place.socket()).unwrap(), path, "localhost", "")
}

#[test]
fn pages_are_for_those_who_may_ask_and_for_no_other_site() {
    let place = Place::new();
    let token = place.file("token");
    fs::write(&token, TOKEN).unwrap();
    let daemon = place.start(&["--listen", "127.0.0.1:0", "--token-file", token.to_str().unwrap()]);
    let address = address(&daemon);
    let port = |path: &str, host: &str, fields: &str| {
        whole(TcpStream::connect(&address).unwrap(), path, host, fields)
    };
    for path in ["/", "/live", "/explain/1", "/kill/x", "/page.css", "/page.js"] {
        let refused = port(path, "localhost", "");
        assert_eq!(status(&refused), "401", "{path}");
        assert!(refused.contains("www-authenticate: Basic "), "the browser asks: {refused}");
        let wrong = "Authorization: Basic bWU6MDEyMzQ1Njc4OWFiY2RlWg==\r\n";
        assert_eq!(status(&port(path, "localhost", wrong)), "401", "{path}");
    }
    assert_eq!(status(&port("/", "localhost", PASSWORD)), "200");
    assert_eq!(status(&port("/", "localhost", &format!("Authorization: Bearer {TOKEN}\r\n"))), "200");
    assert_eq!(status(&port("/v1/snapshot", "localhost", PASSWORD)), "401", "programs have another way");
    assert_eq!(status(&port("/", "evil.example:80", PASSWORD)), "403", "another name for our address");
    let image = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
    let socket = |path: &str, host: &str, fields: &str| {
        whole(UnixStream::connect(place.socket()).unwrap(), path, host, fields)
    };
    for path in ["/", "/v1/snapshot", "/metrics"] {
        assert_eq!(status(&socket(path, "localhost:9478", "")), "200", "{path}");
        assert_eq!(status(&socket(path, "evil.example:9478", "")), "403", "{path} through a tunnel");
        assert_eq!(status(&socket(path, "localhost:9478", image)), "403", "{path}");
    }
    for path in ["/", "/explain/1", "/explain/no-such-thing", "/kill/none", "/page.css", "/page.js"] {
        let answer = ask(&place, path);
        let wanted = if path.contains("no") { "404" } else { "200" };
        assert_eq!(status(&answer), wanted, "{path}");
        for field in ["content-security-policy: default-src 'none'; ", "x-content-type-options: nosniff"] {
            assert!(answer.contains(field), "{path}: {answer}");
        }
        assert!(!answer.contains("unsafe-inline"), "{path}");
    }
}

#[test]
fn three_links_lead_from_the_node_to_why_and_to_whose_memory() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut log = KernelLog::from_now();
    let mut greedy = Program::eat(&["cgroup", group.directory(), "comm", "677265656479", "wait", "grow"]);
    greedy.ready();
    greedy.go_on();
    log.kill(greedy.pid());
    let record = place.record(greedy.pid());
    let other = Program::eat(&["cgroup", group.directory(), "touch", "8", "wait"]);
    other.ready();
    let kill = format!("href=\"kill/{}\"", record.id);
    let page = eventually("the page has the kill, and the container is in trouble", PATIENCE, || {
        let page = ask(&place, "/");
        let trouble = page.split("Last OOM kills").next().unwrap();
        (page.contains(&kill) && trouble.contains(&format!("<bdi>{}</bdi>", group.path()))).then_some(page)
    });
    assert!(page.contains("in trouble</h1>"), "{page}");
    let why = ask(&place, &format!("/kill/{}", record.id));
    assert!(why.contains(&format!("greedy (pid {}) was killed because", greedy.pid())), "{why}");
    let link = format!("/explain/{}", group.path().replace('/', "%2F"));
    assert!(page.contains(link.trim_start_matches('/')), "{link}");
    let whose = ask(&place, &link);
    assert!(whose.contains("of its limit of 64.0 MiB"), "{whose}");
    assert!(whose.contains(&format!("href=\"../kill/{}\"", record.id)), "{whose}");
    assert!(whose.contains(&format!("<a href=\"{}\">", other.pid())), "its process has a page: {whose}");
    assert!(ask(&place, &format!("/explain/{}", other.pid())).contains("Resident memory"));
    other.signal(rustix::process::Signal::KILL);
}

/// A viewer of the node.
struct Viewer(BufReader<UnixStream>);

impl Viewer {
    fn open(socket: &Path) -> (u16, Self) {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        (line.split(' ').nth(1).unwrap().parse().unwrap(), Self(stream))
    }

    /// The next event.
    fn event(&mut self) -> String {
        loop {
            let mut line = Vec::new();
            assert!(self.0.read_until(b'\n', &mut line).unwrap() > 0, "the stream ended");
            if line.starts_with(b"data: ") {
                return String::from_utf8(line).unwrap();
            }
        }
    }
}

#[test]
fn fifty_viewers_see_the_same_and_a_slow_one_holds_up_nobody() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let open = || {
        let (status, viewer) = Viewer::open(&place.socket());
        assert_eq!(status, 200);
        viewer
    };
    let slow: Vec<Viewer> = (0..VIEWERS - 50).map(|_| open()).collect();
    let mut viewers: Vec<Viewer> = (0..50).map(|_| open()).collect();
    let mut by_instant: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for viewer in &mut viewers {
        for _ in 0..3 {
            let event = viewer.event();
            let (_, rest) = event.split_once("This node at ").unwrap();
            by_instant.entry(rest.split_once('<').unwrap().0.to_owned()).or_default().push(event);
        }
    }
    assert!(by_instant.values().any(|events| events.len() >= 50), "{:?}", by_instant.keys());
    for (instant, events) in &by_instant {
        assert!(events.iter().all(|event| *event == events[0]), "not the same at {instant}");
    }
    assert_eq!(Viewer::open(&place.socket()).0, 503, "there are {VIEWERS}");
    assert_eq!(Client::unix(&place.socket()).get("/", "").unwrap().status, 200, "the page itself answers");
    let before = daemon.rss_bytes();
    drop(viewers);
    eventually("the places are free again", PATIENCE, || {
        (Viewer::open(&place.socket()).0 == 200).then_some(())
    });
    let mut after: Vec<Viewer> = (0..50).map(|_| open()).collect();
    for viewer in &mut after {
        viewer.event();
    }
    drop((slow, after));
    eventually("no more memory than with the viewers before", PATIENCE, || {
        (daemon.rss_bytes() < before + (4 << 20)).then_some(())
    });
}
