//! A worker that remembers every session: leak RATE_KIB SIZE. Without symbols of the standard library it has its own.
use std::{collections::HashMap, time::{Duration, Instant}};

#[inline(never)]
fn remember_session(sessions: &mut HashMap<u64, Vec<u8>>, id: u64, size: usize) {
    sessions.insert(id, vec![b'x'; size]);
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u64>().unwrap());
    let (rate, size) = (numbers.next().unwrap() * 1024, numbers.next().unwrap());
    let (begin, mut sessions, mut kept) = (Instant::now(), HashMap::new(), 0);
    for id in 0.. {
        while kept > (begin.elapsed().as_secs_f64() * rate as f64) as u64 {
            std::thread::sleep(Duration::from_millis(20));
        }
        remember_session(&mut sessions, id, size as usize);
        kept += size;
    }
}
