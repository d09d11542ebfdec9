use std::time::Duration;

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{MAX_HEAD, serve_for};

const BIG: usize = 64 << 10;
/// Longer than any machine stalls; the slow client waits a tenth of it each time.
const UNREAD: Duration = Duration::from_secs(3);
const HEAD: Duration = Duration::from_secs(75);

fn connect() -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
    let routes =
        Router::new().route("/small", get(async || "yes")).route("/big", get(async || vec![b'x'; BIG]));
    let (ours, theirs) = duplex(4096);
    let (end, ending) = watch::channel(false);
    (ours, tokio::spawn(serve_for(Box::new(theirs), routes, ending, (HEAD, UNREAD))), end)
}

/// Sends a request and reads until the other side closes.
async fn answer(request: &[u8]) -> String {
    let (mut ours, served, _end) = connect();
    // The server may close before it has read everything.
    let _ = ours.write_all(request).await;
    let mut answer = Vec::new();
    let _ = ours.read_to_end(&mut answer).await;
    served.await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_is_answered() {
    let said = answer(b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\nyes"), "{said}");
}

#[tokio::test]
async fn garbage_is_refused_and_a_head_without_end_too() {
    let endless = [b"GET /small HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 4 * MAX_HEAD]].concat();
    let many = format!("GET /small HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(4 * MAX_HEAD));
    for (request, status) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(), "400"),
        (b"\0\0\0\0\r\n\r\n", "400"),
        (&endless, "431"),
        (many.as_bytes(), "431"),
        (path.as_bytes(), "4"),
        (b"GET /small HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
        (b"POST /small HTTP/1.1\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", "405"),
    ] {
        let said = answer(request).await;
        let head = request.get(..request.len().min(60)).unwrap();
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{}: {said}", head.escape_ascii());
    }
}

#[tokio::test]
async fn one_that_does_not_read_is_left() {
    let (mut ours, served, _end) = connect();
    ours.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let asked = Instant::now();
    served.await.unwrap();
    assert!(asked.elapsed() >= UNREAD, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn one_that_reads_slowly_gets_it_all() {
    let (mut ours, served, _end) = connect();
    ours.write_all(b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut got, start) = (0, Instant::now());
    let mut part = vec![0; 4096];
    loop {
        sleep(UNREAD / 10).await;
        match ours.read(&mut part).await.unwrap() {
            0 => break,
            bytes => got += bytes,
        }
    }
    assert!(got > BIG, "{got}");
    assert!(start.elapsed() > UNREAD, "it took longer than one that does not read is given");
    served.await.unwrap();
}

#[tokio::test]
async fn it_ends_when_the_daemon_does() {
    let (_ours, served, end) = connect();
    end.send_replace(true);
    served.await.unwrap();
}
