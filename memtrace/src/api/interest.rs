//! Whether somebody looks at the memory of this node: then its page tables are read more often.
//!
//! Requests -> the time of the last one. It ends by itself: a viewer that is gone need not say so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::clock;

/// How long a look lasts: who looks now and then, such as `watch`, looks all the time.
const LASTS: Duration = Duration::from_secs(30);

/// The time of the last look, ns since boot; 0 if there was none.
#[derive(Clone, Debug, Default)]
pub struct Interest(Arc<AtomicU64>);

impl Interest {
    /// Of one who looks all the time.
    pub fn always() -> Self {
        let interest = Self::default();
        interest.look(u64::MAX);
        interest
    }

    /// Notes a look.
    pub fn look(&self, now: u64) {
        self.0.fetch_max(now, Ordering::Relaxed);
    }

    /// Whether somebody looks at `now`, ns since boot.
    pub fn is_there(&self, now: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        last > 0 && u128::from(now.saturating_sub(last)) < LASTS.as_nanos()
    }
}

/// Notes a request that shows memory.
pub(super) async fn look(State(interest): State<Interest>, request: Request, next: Next) -> Response {
    interest.look(clock::ktime());
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::{Interest, LASTS};

    #[test]
    fn a_look_lasts_a_while() {
        let (interest, lasts) = (Interest::default(), LASTS.as_nanos() as u64);
        assert!(!interest.is_there(1), "nobody has looked, also right after the boot");
        assert!(Interest::always().is_there(1));
        interest.look(7);
        assert!(interest.is_there(7) && interest.is_there(6 + lasts));
        assert!(!interest.is_there(7 + lasts));
        interest.look(9);
        interest.look(8);
        assert!(interest.is_there(8 + lasts), "the last one counts");
    }
}
