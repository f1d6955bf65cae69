//! The registered buffers that control messages are sent from and received into.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use rdma_migration_protocol::limits::{
    CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS, SENDS_OUTSTANDING_MAX,
};
use rdma_migration_protocol::transport::{Access, ReceiveBuffer};

use crate::error::Errno;
use crate::memory_region::{MemoryRegion, ProtectionDomain};
use crate::ram_range::RamRange;

/// Buffers that sends are encoded into: one beside those that are on their way.
const SEND_BUFFERS: usize = SENDS_OUTSTANDING_MAX + 1;

/// All control buffers of one side.
pub(crate) const BUFFERS: usize = RECEIVE_BUFFERS + SEND_BUFFERS;

const PAGE_BYTES: usize = 4096;
const _: () = assert!(SEND_BUFFERS >= RECEIVE_BUFFERS);
const _: () = assert!(CONTROL_BUFFER_BYTES.is_multiple_of(PAGE_BYTES));

/// Where a receive buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receive {
    /// Nobody's; nothing is in it.
    Free,
    /// The adapter may write into it.
    Posted,
    /// A message of so many bytes is in it.
    Filled(usize),
}

/// A buffer as a work request names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Registered {
    pub(crate) address: u64,
    pub(crate) lkey: u32,
}

/// The buffers, registered once there is a protection domain.
pub(crate) struct ControlBuffers {
    // Dropped in this order: nothing may be freed that is registered.
    receives_region: Option<MemoryRegion>,
    sends_region: Option<MemoryRegion>,
    memory: Memory,
    receives: [Receive; RECEIVE_BUFFERS],
    /// Whether the adapter may still read a send buffer.
    sending: [bool; SEND_BUFFERS],
    /// The send buffer that is lent out.
    next_send: usize,
}

impl ControlBuffers {
    /// Bytes of the larger of both regions, for those who have to explain why one was refused.
    pub(crate) const REGION_BYTES: u64 = (SEND_BUFFERS * CONTROL_BUFFER_BYTES) as u64;

    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            receives_region: None,
            sends_region: None,
            memory: Memory::new()?,
            receives: [Receive::Free; RECEIVE_BUFFERS],
            sending: [false; SEND_BUFFERS],
            next_send: 0,
        })
    }

    /// Registers the buffers, with no more rights than their use needs: the adapter writes into
    /// those for receives, and the peer into none.
    pub(crate) fn register(&mut self, domain: &Arc<ProtectionDomain>) -> Result<(), Errno> {
        let receives = self.memory.range(0, RECEIVE_BUFFERS);
        let sends = self.memory.range(RECEIVE_BUFFERS, SEND_BUFFERS);
        self.receives_region = Some(domain.register_for_receives(receives)?);
        self.sends_region = Some(domain.register(sends, Access::LocalRead)?);
        Ok(())
    }

    /// Gives the registration back, once the queue pair is destroyed.
    pub(crate) fn deregister(&mut self) {
        self.receives_region = None;
        self.sends_region = None;
    }

    /// The buffer for the next message.
    pub(crate) fn send_buffer(&mut self) -> &mut [u8] {
        if self.sending.get(self.next_send) != Some(&false) {
            // Every buffer is on its way, which is more than the limit of outstanding sends.
            return &mut [];
        }
        let place = self.memory.buffer(RECEIVE_BUFFERS + self.next_send);
        // SAFETY: the buffer is allocated and initialised; it is not being sent, so the adapter does
        // not read it, and `&mut self` makes this the only reference.
        unsafe { slice::from_raw_parts_mut(place.as_ptr(), CONTROL_BUFFER_BYTES) }
    }

    /// Takes the lent buffer for sending and lends another from now on. `None` if it is in use, or not
    /// registered.
    pub(crate) fn take_send_buffer(&mut self) -> Option<(usize, Registered)> {
        let slot = self.next_send;
        let sending = self.sending.get_mut(slot).filter(|sending| !**sending)?;
        let lkey = self.sends_region.as_ref()?.lkey();
        *sending = true;
        self.next_send = self.sending.iter().position(|sending| !sending).unwrap_or(slot);
        Some((slot, registered(self.memory.buffer(RECEIVE_BUFFERS + slot), lkey)))
    }

    /// The adapter is done with a send buffer.
    pub(crate) fn sent(&mut self, slot: usize) {
        if let Some(sending) = self.sending.get_mut(slot) {
            *sending = false;
        }
        if self.sending.get(self.next_send) == Some(&true) {
            self.next_send = slot;
        }
    }

    /// Takes a receive buffer for posting. `None` if there is no such buffer, if it is posted already,
    /// or not registered.
    pub(crate) fn post(&mut self, buffer: ReceiveBuffer) -> Option<Registered> {
        let lkey = self.receives_region.as_ref()?.lkey();
        let state = self.receives.get_mut(usize::from(buffer.0))?;
        if *state == Receive::Posted {
            return None;
        }
        *state = Receive::Posted;
        Some(registered(self.memory.buffer(usize::from(buffer.0)), lkey))
    }

    /// The adapter is done with a receive buffer: a message of `bytes` is in it, or none.
    pub(crate) fn received(&mut self, buffer: ReceiveBuffer, bytes: Option<usize>) {
        if let Some(state) = self.receives.get_mut(usize::from(buffer.0)) {
            *state = match bytes {
                Some(bytes) => Receive::Filled(bytes.min(CONTROL_BUFFER_BYTES)),
                None => Receive::Free,
            };
        }
    }

    /// The message in a buffer; nothing if there is none.
    pub(crate) fn message(&self, buffer: ReceiveBuffer) -> &[u8] {
        let Some(Receive::Filled(bytes)) = self.receives.get(usize::from(buffer.0)) else {
            return &[];
        };
        let place = self.memory.buffer(usize::from(buffer.0));
        // SAFETY: the buffer is allocated and initialised and at least `bytes` long; it is not posted,
        // so the adapter does not write to it, and it can only be posted through `&mut self`.
        unsafe { slice::from_raw_parts(place.as_ptr(), *bytes) }
    }
}

fn registered(place: NonNull<u8>, lkey: u32) -> Registered {
    Registered { address: u64::try_from(place.addr().get()).unwrap_or_default(), lkey }
}

/// Page-aligned memory for all buffers, those for receives first.
struct Memory {
    first: NonNull<u8>,
}

// SAFETY: the memory belongs to this value alone; nothing about it is tied to a thread.
unsafe impl Send for Memory {}

impl Memory {
    const LAYOUT: Layout = match Layout::from_size_align(BUFFERS * CONTROL_BUFFER_BYTES, PAGE_BYTES)
    {
        Ok(layout) => layout,
        Err(_) => panic!("the control buffers fit into memory"),
    };

    fn new() -> Result<Self, Errno> {
        // SAFETY: the layout is not of size zero.
        let first = NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) });
        Ok(Self { first: first.ok_or(Errno(libc::ENOMEM))? })
    }

    /// The first byte of a buffer.
    fn buffer(&self, index: usize) -> NonNull<u8> {
        assert!(index < BUFFERS);
        // SAFETY: the buffer with this index lies inside the allocation.
        unsafe { self.first.add(index * CONTROL_BUFFER_BYTES) }
    }

    /// Some buffers, for registration.
    fn range(&self, first: usize, count: usize) -> RamRange {
        assert!(first + count <= BUFFERS);
        // SAFETY: the memory is there until this value is dropped, which its owner does after the
        // regions made of it. The range is only registered, never read or written through.
        unsafe { RamRange::new(self.buffer(first), count * CONTROL_BUFFER_BYTES) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.first.as_ptr(), Self::LAYOUT) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_send_buffer_while_the_most_sends_are_outstanding() {
        let mut buffers = ControlBuffers::new().unwrap();
        assert_eq!(buffers.send_buffer().len(), CONTROL_BUFFER_BYTES);
        // Without a registration nothing can be sent, and the buffer stays lent.
        assert_eq!(buffers.take_send_buffer(), None);
        buffers.sending = [true, true, false];
        buffers.next_send = 2;
        assert_eq!(buffers.send_buffer().len(), CONTROL_BUFFER_BYTES);
        buffers.sending = [true; SEND_BUFFERS];
        assert!(buffers.send_buffer().is_empty());
        buffers.sent(1);
        assert_eq!(buffers.next_send, 1);
        assert_eq!(buffers.send_buffer().len(), CONTROL_BUFFER_BYTES);
    }

    #[test]
    fn a_message_can_be_read_only_while_its_buffer_is_filled() {
        let mut buffers = ControlBuffers::new().unwrap();
        let buffer = ReceiveBuffer(1);
        assert!(buffers.message(buffer).is_empty());
        buffers.received(buffer, Some(5));
        assert_eq!(buffers.message(buffer).len(), 5);
        buffers.received(buffer, Some(usize::MAX));
        assert_eq!(buffers.message(buffer).len(), CONTROL_BUFFER_BYTES);
        buffers.received(buffer, None);
        assert!(buffers.message(buffer).is_empty());
        assert!(buffers.message(ReceiveBuffer(200)).is_empty());
    }
}
