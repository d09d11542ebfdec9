//! The API's doors: who is let in, what the port has, and what garbage does.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use crate::fixture::{
    PATIENCE, binary,
    daemon::{Daemon, Place, run},
    eventually,
    http::{Client, PATHS},
    said,
};

/// `nobody`, everywhere.
const NOBODY: u32 = 65534;

#[test]
fn a_user_who_may_not_ask_is_refused_and_that_is_logged() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let directory = place.socket().parent().unwrap().to_owned();
    // Where the binary is may be closed to others.
    let copy = directory.join("memtrace");
    fs::copy(binary(), &copy).unwrap();
    for open in [&copy, &directory, &directory.parent().unwrap().to_owned()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mode = fs::metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let ask = || {
        let mut command = Command::new(&copy);
        command.args(["top", "--once", "--socket"]).arg(place.socket());
        run(command.uid(NOBODY).gid(NOBODY))
    };
    let by_mode = ask();
    assert_eq!(by_mode.status.code(), Some(4), "{}", said(&by_mode));
    assert!(!daemon.log().contains("rejected"), "the mode alone kept it out");
    // Somebody opens it to all.
    fs::set_permissions(place.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let by_peer = ask();
    assert_eq!(by_peer.status.code(), Some(4), "{}", said(&by_peer));
    assert!(said(&by_peer).contains("not permitted"), "{}", said(&by_peer));
    let log = eventually("the refusal is logged", PATIENCE, || {
        Some(daemon.log()).filter(|log| log.contains("rejected client: user not permitted"))
    });
    assert!(log.contains(&format!("\"uid\":{NOBODY}")), "{log}");
    let metrics = Client::unix(&place.socket()).get("/metrics", "").unwrap();
    assert!(metrics.body.contains("memtrace_api_refused_total 1\n"), "{}", metrics.body);
}

/// The address that the daemon listens on, from its log.
pub fn address(daemon: &Daemon<'_>) -> String {
    eventually("the daemon says where it listens", PATIENCE, || {
        let log = daemon.log();
        let (_, rest) = log.split_once("\"address\":\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    })
}

#[test]
fn the_port_has_metrics_and_health_and_with_a_token_the_rest() {
    let place = Place::new();
    let status =
        |address: &str, path: &str, fields: &str| Client::tcp(address).get(path, fields).unwrap().status;
    {
        let daemon = place.start(&["--listen", "127.0.0.1:0"]);
        let address = address(&daemon);
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert_eq!(status(&address, path, ""), 200, "{path}");
        }
        for path in ["/v1/snapshot", "/v1/stream", "/v1/kills", "/debug/pprof/memory?target=1", "/"] {
            assert_eq!(status(&address, path, "Authorization: Bearer 0123456789abcdef\r\n"), 404, "{path}");
        }
    }
    let token = place.file("token");
    fs::write(&token, "short\n").unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--token-file", token.to_str().unwrap()];
    let refused = run(&mut place.command(&arguments));
    assert!(said(&refused).contains("less than 16 bytes"), "{}", said(&refused));
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let daemon = place.start(&arguments);
    let address = address(&daemon);
    assert_eq!(status(&address, "/metrics", ""), 200);
    assert_eq!(status(&address, "/v1/snapshot", ""), 401);
    assert_eq!(status(&address, "/v1/snapshot", "Authorization: Bearer 0123456789abcdeX\r\n"), 401);
    assert_eq!(status(&address, "/v1/snapshot", "Authorization: Bearer 0123456789abcdef\r\n"), 200);
    // It is changed without a restart.
    fs::write(&token, "fedcba9876543210\n").unwrap();
    assert_eq!(status(&address, "/v1/kills", "Authorization: Bearer 0123456789abcdef\r\n"), 401);
    assert_eq!(status(&address, "/v1/kills", "Authorization: Bearer fedcba9876543210\r\n"), 200);
}

#[test]
fn every_path_answers() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let mut client = Client::unix(&place.socket());
    let pid = std::process::id();
    let (process, explain) = (format!("/v1/processes/{pid}"), format!("/v1/explain/{pid}"));
    let profile = format!("/debug/pprof/memory?target={pid}&format=speedscope");
    for path in PATHS.into_iter().chain(["/v1/doctor", "/v1/health", &process, &explain, &profile]) {
        let answer = client.get(path, "").unwrap();
        assert_eq!(answer.status, 200, "{path}");
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| {
            panic!("{path}: {error}: {}", answer.body);
        });
        assert!(json.is_object(), "{path}");
    }
    eventually("page tables are read, and there are arenas", PATIENCE, || {
        client.get("/v1/arenas", "").unwrap().body.contains("\"allocator\":").then_some(())
    });
    for path in [
        "/v1/kills/none",
        "/v1/explain/no-such-thing",
        "/v1/processes/4294967295",
        "/v1/history/1970-01-01T00:00:00Z",
        "/debug/pprof/memory?target=no-such-thing",
    ] {
        assert_eq!(client.get(path, "").unwrap().status, 404, "{path}");
    }
    for path in ["/v1/history/yesterday", "/debug/pprof/memory", "/debug/pprof/memory?target=1&over=1h"] {
        assert_eq!(client.get(path, "").unwrap().status, 400, "{path}");
    }
}

#[test]
fn garbage_and_giants_are_refused_and_cost_nothing() {
    let place = Place::new();
    let daemon = place.start(&["--listen", "127.0.0.1:0"]);
    let address = address(&daemon);
    let garbage: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let giant = [b"GET /v1/snapshot HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 8 << 20]].concat();
    let all = || {
        for bytes in [&garbage, &giant].into_iter().cycle().take(40) {
            let mut client = Client::unix(&place.socket());
            // It is closed in the middle.
            let _ = client.send(bytes);
            let mut client = Client::tcp(&address);
            let _ = client.send(bytes);
        }
    };
    all();
    // What the daemon takes in its first seconds, and for the first of them, is not what each costs.
    let before = daemon.rss_bytes();
    all();
    let mut client = Client::tcp(&address);
    client.send(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 405);
    assert!(daemon.tracer().hooks_attached > 0);
    eventually("no more memory than before", PATIENCE, || {
        (daemon.rss_bytes() < before + (4 << 20)).then_some(())
    });
}
