//! Strangers at the port.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::{
    afterwards::{Held, it_is_well, nothing_is_left},
    fixture::{
        PATIENCE,
        daemon::{Daemon, Place},
        eventually, memtrace, said,
    },
};

fn port(daemon: &Daemon<'_>) -> SocketAddr {
    eventually("the daemon says where it listens", PATIENCE, || {
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("serving metrics and health"))?.to_owned();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["fields"]["address"].as_str().unwrap().parse().ok()
    })
}

/// A connection from one of this machine's own many addresses.
fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0)).unwrap();
    connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn is_healthy(mut stream: TcpStream) -> bool {
    let mut answer = String::new();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn those_who_hold_connections_and_ask_nothing_do_not_close_the_port() {
    let place = Place::new();
    let daemon = place.start(&["--listen", "127.0.0.1:0"]);
    it_is_well(&place);
    let (port, before) = (port(&daemon), Held::by(&daemon));
    // More than the port takes, from one address and then from many.
    let from_one: Vec<TcpStream> = (0..300).map(|_| from(2, port)).collect();
    assert!(is_healthy(from(3, port)));
    let from_many: Vec<TcpStream> = (0..600).map(|number| from(10 + (number % 40) as u8, port)).collect();
    assert!(is_healthy(from(3, port)));
    // What the probes of the chart ask, which no stranger can reach.
    let live = memtrace(&["health", "--live", "--socket", place.socket().to_str().unwrap()]);
    assert!(live.status.success(), "{}", said(&live));
    it_is_well(&place);
    drop((from_one, from_many));
    nothing_is_left(&daemon, &before);
}
