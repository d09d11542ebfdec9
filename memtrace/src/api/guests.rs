//! Admission of TCP connections, so that no client can lock out the others.
//!
//! The address of a new connection -> admitted, refused, or admitted in place of the oldest one. Must not do I/O.

use std::{collections::VecDeque, net::IpAddr};

/// The most concurrent connections of one address.
const PER_ADDRESS: usize = 32;

/// A connection that can be closed.
pub trait Guest {
    /// Whether it has ended.
    fn is_gone(&self) -> bool;
    /// Closes it.
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

/// The open connections, the oldest first.
pub struct Guests<G> {
    all: VecDeque<(IpAddr, G)>,
    most: usize,
}

impl<G: Guest> Guests<G> {
    /// No connections yet, at most `most`.
    pub const fn new(most: usize) -> Self {
        Self { all: VecDeque::new(), most }
    }

    /// Whether a connection from this address is admitted; closes the oldest one if there is no room.
    pub fn admit(&mut self, from: IpAddr) -> bool {
        self.all.retain(|(_, guest)| !guest.is_gone());
        if self.all.iter().filter(|(address, _)| *address == from).count() >= PER_ADDRESS {
            return false;
        }
        // Requests are answered at once, so the oldest connection is most likely idle.
        while self.all.len() >= self.most {
            let Some((_, oldest)) = self.all.pop_front() else { return false };
            oldest.end();
        }
        true
    }

    /// Adds an admitted connection.
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

    /// Opens a connection if it is admitted; the flag tells when it was closed.
    fn come(guests: &mut Guests<Fake>, from: usize) -> Option<Rc<Cell<bool>>> {
        let is_over = Rc::new(Cell::new(false));
        guests.admit(address(from)).then(|| guests.add(address(from), Fake(Rc::clone(&is_over))))?;
        Some(is_over)
    }

    #[test]
    fn one_address_has_so_many_and_the_next_has_its_own() {
        let mut guests = Guests::new(256);
        let first: Vec<_> = (0..PER_ADDRESS).map(|_| come(&mut guests, 1).unwrap()).collect();
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
