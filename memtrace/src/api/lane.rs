//! The lane of requests that wait for reader processes, such as those for names in call stacks.
//!
//! Requests -> answers, or a refusal when the lane is full. The runtime has few blocking threads, and a reader may take
//! seconds for each process that it hangs on. Must leave threads to the requests that read memory and the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use tokio::sync::Semaphore;

/// How many are answered at a time. One more thread makes the page of the whole snapshot, with names; the runtime has four.
const PLACES: usize = 2;
/// How long a request waits for a place. It takes no thread meanwhile, and a client waits no longer than 5 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// Why a request was refused.
const FULL: &str =
    "too many requests for explanations and call stacks wait for processes to be read; ask again\n";

/// A status, with the reason if it says more.
pub type Refusal = (StatusCode, &'static str);

/// A status that needs no reason.
pub const fn bare(status: StatusCode) -> Refusal {
    (status, "")
}

/// The lane.
#[derive(Debug)]
pub struct Lane {
    places: Arc<Semaphore>,
    patience: Duration,
    refused: AtomicU64,
}

impl Default for Lane {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), patience: PATIENCE, refused: AtomicU64::new(0) }
    }
}

impl Lane {
    /// Does this on a blocking thread. The place is taken until it is done, even if the client is gone.
    ///
    /// # Errors
    /// When the lane is full.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = tokio::time::timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await;
        // Nobody closes it.
        let Ok(Ok(place)) = place else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err((StatusCode::SERVICE_UNAVAILABLE, FULL));
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.map_err(|_| bare(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Requests that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// With as many threads as the daemon has.
    #[test]
    fn who_waits_for_a_reader_takes_no_thread_of_others() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(4)
            .build()
            .unwrap();
        runtime.block_on(async {
            let lane = Arc::new(Lane { patience: Duration::ZERO, ..Lane::default() });
            let (begun, begins) = channel();
            let waiting: Vec<_> = (0..PLACES)
                .map(|_| {
                    let (go, hangs) = channel::<()>();
                    let (lane, begun) = (Arc::clone(&lane), begun.clone());
                    let work = move || {
                        begun.send(()).unwrap();
                        hangs.recv().unwrap();
                    };
                    (go, tokio::spawn(async move { lane.run(work).await }))
                })
                .collect();
            tokio::task::spawn_blocking(move || (0..PLACES).for_each(|_| begins.recv().unwrap()))
                .await
                .unwrap();
            let (status, why) = lane.run(|| ()).await.unwrap_err();
            assert_eq!((status, lane.refused()), (StatusCode::SERVICE_UNAVAILABLE, 1));
            assert!(why.contains("ask again"), "{why}");
            assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7, "others have threads");
            for (go, done) in waiting {
                go.send(()).unwrap();
                done.await.unwrap().unwrap();
            }
            assert_eq!(lane.run(|| 8).await.unwrap(), 8);
        });
    }
}
