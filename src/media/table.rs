//! Which sockets a thread has bound, by the name of their port ([`MediaPort`](crate::call::media::MediaPort)).

use super::socket::Pair;

/// The pairs of one range of ports.
#[derive(Debug)]
pub struct Table {
    first: u32,
    pairs: Vec<Option<Pair>>,
    bound: usize,
}

impl Table {
    /// None is bound yet. RTP ports are the even ones of `first..=last` whose next one lies there too.
    pub fn new(first: u32, last: u32) -> Self {
        let first = first.saturating_add(first & 1);
        let count = (last.saturating_sub(first) as usize).saturating_add(1) / 2;
        Self {
            first,
            pairs: std::iter::repeat_with(|| None).take(count).collect(),
            bound: 0,
        }
    }

    /// Whether `port` is an RTP port of the range.
    pub fn holds(&self, port: u32) -> bool {
        port.is_multiple_of(2) && self.place(port).is_some()
    }

    /// The pair that an RTP port, or its RTCP neighbour, belongs to.
    #[inline]
    pub fn pair(&self, port: u32) -> Option<&Pair> {
        self.pairs.get(self.place(port)?)?.as_ref()
    }

    /// Keeps a pair. Without effect out of the range.
    pub fn insert(&mut self, port: u32, pair: Pair) {
        if let Some(place) = self.place(port).and_then(|place| self.pairs.get_mut(place)) {
            self.bound += usize::from(place.is_none());
            *place = Some(pair);
        }
    }

    /// How many pairs are bound.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// How many pairs the range has.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether the range has no pair at all.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn place(&self, port: u32) -> Option<usize> {
        let place = (port.checked_sub(self.first)? / 2) as usize;
        (place < self.pairs.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_even_ports_whose_neighbour_is_in_the_range_are_rtp_ports() {
        let table = Table::new(20_001, 20_006);
        let held: Vec<u32> = (19_990..20_020).filter(|port| table.holds(*port)).collect();
        assert_eq!(held, [20_002, 20_004]);
        assert_eq!(Table::new(0, 65_535).len(), 32_768);
        assert!(Table::new(65_535, 65_535).is_empty());
    }
}
