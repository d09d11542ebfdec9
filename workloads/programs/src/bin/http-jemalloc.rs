//! An HTTP service with jemalloc, for the benchmark: each request builds a page of many small strings, and replaces an
//! entry of a cache. Prints its address, and serves until it is killed.

use std::{
    collections::HashMap,
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Entries of the cache, of up to 8 KiB each.
const CACHED: u64 = 8192;
const ROWS: u64 = 64;

type Cache = Arc<Mutex<HashMap<u64, Vec<u8>>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let cache = Cache::default();
    for (number, stream) in (1_u64..).zip(listener.incoming()) {
        let (stream, cache) = (stream?, Arc::clone(&cache));
        // A client that went away is no failure of the service.
        thread::spawn(move || serve(&stream, &cache, number).ok());
    }
    Ok(())
}

/// Answers one client until it goes.
fn serve(stream: &TcpStream, cache: &Cache, mut seed: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut lines = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            lines += 1;
        }
        if lines == 0 {
            continue;
        }
        let page = page(cache, &mut seed);
        let mut stream = *reader.get_ref();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())?;
    }
}

fn page(cache: &Cache, seed: &mut u64) -> String {
    let rows: Vec<String> =
        (0..ROWS).map(|row| format!("{{\"id\":{row},\"value\":\"{:x}\"}}", next(seed))).collect();
    let (key, size) = (next(seed) % CACHED, next(seed) % 8192);
    let entry = vec![0x2a; usize::try_from(size).unwrap_or_default()];
    cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
    format!("[{}]", rows.join(","))
}

/// Marsaglia's xorshift64.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
