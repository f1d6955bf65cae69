//! Arrays of equal commands, as received or to be sent.

use core::{fmt, slice};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A command that travels in arrays. It cannot be implemented elsewhere.
pub trait Entry: sealed::Sealed + Copy + Eq + fmt::Debug {
    /// Bytes of one command on the wire.
    const BYTES: usize;
}

impl<T: sealed::Sealed + Copy + Eq + fmt::Debug> Entry for T {
    const BYTES: usize = size_of::<T::Layout>();
}

/// Keeps the layouts, and the crate that reads them, out of the public interface.
pub(super) mod sealed {
    use super::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

    /// A value and its form on the wire.
    pub trait Sealed {
        /// The form on the wire: big-endian, without alignment.
        type Layout: Copy + FromBytes + Immutable + IntoBytes + KnownLayout + Unaligned;

        /// Reads the value.
        fn from_layout(layout: &Self::Layout) -> Self;

        /// Gives the form on the wire, with zero for padding.
        fn to_layout(&self) -> Self::Layout;
    }
}

/// An array of commands, borrowed from received bytes or from values to be sent.
///
/// Two arrays are equal if their values are, wherever they come from.
#[derive(Clone, Copy)]
pub struct Entries<'a, T: Entry>(Backing<'a, T>);

#[derive(Clone, Copy)]
enum Backing<'a, T: Entry> {
    Received(&'a [T::Layout]),
    Values(&'a [T]),
}

impl<'a, T: Entry> Entries<'a, T> {
    /// An array to be sent.
    #[must_use]
    pub const fn new(values: &'a [T]) -> Self {
        Self(Backing::Values(values))
    }

    /// The array that `bytes` hold, or `None` if they end in the middle of a command.
    pub(super) fn received(bytes: &'a [u8]) -> Option<Self> {
        let layouts = <[T::Layout]>::ref_from_bytes(bytes).ok()?;
        Some(Self(Backing::Received(layouts)))
    }

    /// How many commands there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Backing::Received(layouts) => layouts.len(),
            Backing::Values(values) => values.len(),
        }
    }

    /// Whether there is no command.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The commands, in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(match self.0 {
            Backing::Received(layouts) => Position::Received(layouts.iter()),
            Backing::Values(values) => Position::Values(values.iter()),
        })
    }

    /// The first command, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<T> {
        self.iter().next()
    }

    /// Bytes of the whole array on the wire.
    pub(super) const fn encoded_bytes(&self) -> usize {
        self.len().saturating_mul(T::BYTES)
    }

    /// Writes the array to the front of `buffer`, or returns `None` if it does not fit.
    ///
    /// What was received is written anew from its values, so that the peer's padding goes no
    /// further.
    pub(super) fn write_to(&self, buffer: &mut [u8]) -> Option<()> {
        let (slots, _) = <[T::Layout]>::mut_from_prefix_with_elems(buffer, self.len()).ok()?;
        match self.0 {
            Backing::Received(layouts) => {
                for (slot, layout) in slots.iter_mut().zip(layouts) {
                    *slot = T::from_layout(layout).to_layout();
                }
            }
            Backing::Values(values) => {
                for (slot, value) in slots.iter_mut().zip(values) {
                    *slot = value.to_layout();
                }
            }
        }
        Some(())
    }
}

impl<'a, T: Entry> From<&'a [T]> for Entries<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Self::new(values)
    }
}

impl<'a, T: Entry> IntoIterator for Entries<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Entry> PartialEq for Entries<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Entry> Eq for Entries<'_, T> {}

impl<T: Entry> fmt::Debug for Entries<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The commands of an [`Entries`], in order.
#[derive(Clone)]
pub struct Iter<'a, T: Entry>(Position<'a, T>);

#[derive(Clone)]
enum Position<'a, T: Entry> {
    Received(slice::Iter<'a, T::Layout>),
    Values(slice::Iter<'a, T>),
}

impl<T: Entry> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Position::Received(layouts) => layouts.next().map(T::from_layout),
            Position::Values(values) => values.next().copied(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Position::Received(layouts) => layouts.size_hint(),
            Position::Values(values) => values.size_hint(),
        }
    }

    /// Asks once for all of them where they come from, which `for_each` on a long array gains by.
    fn fold<B, F: FnMut(B, T) -> B>(self, first: B, add: F) -> B {
        match self.0 {
            Position::Received(layouts) => layouts.map(T::from_layout).fold(first, add),
            Position::Values(values) => values.copied().fold(first, add),
        }
    }
}

impl<T: Entry> ExactSizeIterator for Iter<'_, T> {}

impl<T: Entry> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::RegisterResult;
    use super::super::golden::bytes;
    use super::*;
    use crate::address::{HostAddress, Rkey};
    use alloc::format;

    const fn result(rkey: u32) -> RegisterResult {
        RegisterResult { rkey: Rkey::new(rkey), host_address: HostAddress::new(0x1000) }
    }

    #[test]
    fn arrays_are_equal_if_their_values_are() {
        let wire = bytes(
            "00000001 00000000 0000000000001000
             00000002 af7f0000 0000000000001000",
        );
        let received = Entries::<RegisterResult>::received(&wire).unwrap();
        assert_eq!(received, Entries::new(&[result(1), result(2)]));
        assert_ne!(received, Entries::new(&[result(1), result(3)]));
        assert_ne!(received, Entries::new(&[result(1)]));
        assert_ne!(Entries::new(&[result(1), result(2)]), Entries::new(&[result(2), result(1)]));
    }

    #[test]
    fn an_array_knows_how_many_commands_are_left_and_shows_them() {
        let values = [result(1), result(2)];
        let mut wire = [0; 32];
        Entries::from(&values[..]).write_to(&mut wire).unwrap();
        for entries in [Entries::from(&values[..]), Entries::received(&wire).unwrap()] {
            let mut left = entries.into_iter();
            assert_eq!((left.len(), left.next()), (2, Some(result(1))));
            assert_eq!((left.len(), format!("{left:?}")), (1, format!("{:?}", &values[1..])));
            assert_eq!(format!("{entries:?}"), format!("{values:?}"));
            let all: alloc::vec::Vec<_> = entries.iter().fold(alloc::vec![], |mut all, one| {
                all.push(one);
                all
            });
            assert_eq!(all, values);
        }
    }

    #[test]
    fn half_a_command_is_no_array() {
        assert_eq!(Entries::<RegisterResult>::received(&[0; 24]), None);
        assert!(Entries::<RegisterResult>::received(&[]).unwrap().is_empty());
    }
}
