//! Who holds a connection at a door that strangers reach, so that no number of them can close it for the others.
//!
//! A newcomer's address -> let in, turned away, or let in for the oldest one's place. Must not read from a connection.

use std::{collections::VecDeque, net::IpAddr};

/// Connections of one address at one time.
const OF_ONE: usize = 32;

/// A connection that can be ended.
pub trait Guest {
    /// It is over by itself.
    fn is_gone(&self) -> bool;
    /// Ends it.
    fn end(&self);
}

impl Guest for tokio::task::AbortHandle {
    fn is_gone(&self) -> bool {
        self.is_finished()
    }

    fn end(&self) {
        self.abort();
    }
}

/// Those who are there, the oldest first.
pub struct Guests<G> {
    all: VecDeque<(IpAddr, G)>,
    most: usize,
}

impl<G: Guest> Guests<G> {
    /// None yet, and never more than this.
    pub const fn new(most: usize) -> Self {
        Self { all: VecDeque::new(), most }
    }

    /// Whether one from this address may come in; then there is room for it.
    pub fn admit(&mut self, from: IpAddr) -> bool {
        self.all.retain(|(_, guest)| !guest.is_gone());
        if self.all.iter().filter(|(address, _)| *address == from).count() >= OF_ONE {
            return false;
        }
        // Whoever asks has its answer at once: the oldest is most likely one who holds a place and asks nothing.
        while self.all.len() >= self.most {
            let Some((_, oldest)) = self.all.pop_front() else { return false };
            oldest.end();
        }
        true
    }

    /// Takes one that was admitted.
    pub fn add(&mut self, from: IpAddr, guest: G) {
        self.all.push_back((from, guest));
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::Ipv4Addr, rc::Rc};

    use super::*;

    struct Fake(Rc<Cell<bool>>);

    impl Guest for Fake {
        fn is_gone(&self) -> bool {
            self.0.get()
        }

        fn end(&self) {
            self.0.set(true);
        }
    }

    fn address(number: usize) -> IpAddr {
        Ipv4Addr::from(u32::try_from(number).unwrap()).into()
    }

    /// Lets one in, if it may; true once it is ended.
    fn come(guests: &mut Guests<Fake>, from: usize) -> Option<Rc<Cell<bool>>> {
        let is_over = Rc::new(Cell::new(false));
        guests.admit(address(from)).then(|| guests.add(address(from), Fake(Rc::clone(&is_over))))?;
        Some(is_over)
    }

    #[test]
    fn one_address_has_so_many_and_the_next_has_its_own() {
        let mut guests = Guests::new(256);
        let first: Vec<_> = (0..OF_ONE).map(|_| come(&mut guests, 1).unwrap()).collect();
        assert!(come(&mut guests, 1).is_none());
        assert!(come(&mut guests, 2).is_some());
        first[0].set(true);
        assert!(come(&mut guests, 1).is_some(), "one of its own was over");
    }

    #[test]
    fn however_many_come_from_everywhere_the_next_is_let_in() {
        let mut guests = Guests::new(256);
        let all: Vec<_> = (0..1000).map(|from| come(&mut guests, from).unwrap()).collect();
        let open = all.iter().filter(|is_over| !is_over.get()).count();
        assert_eq!(open, 256);
        assert!(all[..744].iter().all(|is_over| is_over.get()), "the oldest gave way");
    }
}
