//! A worker that remembers every session: leak RATE_KIB SIZE.
use std::{collections::HashMap, time::{Duration, Instant}};

#[inline(never)]
fn remember_session(sessions: &mut HashMap<u64, Vec<u8>>, id: u64, size: usize) {
    sessions.insert(id, vec![b'x'; size]);
}

fn main() -> Result<(), std::num::ParseIntError> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [rate, size] = numbers[..] else { panic!("leak RATE_KIB SIZE") };
    let (begin, mut sessions, mut kept) = (Instant::now(), HashMap::new(), 0);
    for id in 0.. {
        while kept > (begin.elapsed().as_secs_f64() * rate as f64 * 1024.0) as u64 {
            std::thread::sleep(Duration::from_millis(20));
        }
        remember_session(&mut sessions, id, size as usize);
        kept += size;
    }
    Ok(())
}
