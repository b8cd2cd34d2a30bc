//! What the structs of the ABI have in common as records of the ring.

use tracer_ebpf::{
    Cgroup, Header, OomVictim, ProcessExecuted, ProcessExited, ProcessForked, SignalDelivered, SignalGenerated,
    SocketAfterClose, SocketRefused, SocketReset, SocketState, kind,
};

/// A struct of the ABI that opens with a [`Header`].
///
/// # Safety
///
/// Every bit pattern is a value: integers and arrays of integers only.
pub(crate) unsafe trait Record: 'static {
    const KIND: u16;
    fn header(&mut self) -> &mut Header;
}

macro_rules! records {
    ($($record:ty = $kind:ident),* $(,)?) => {
        $(
            // SAFETY: made of integers (the ABI allows nothing else)
            unsafe impl Record for $record {
                const KIND: u16 = kind::$kind;
                #[inline(always)]
                fn header(&mut self) -> &mut Header {
                    &mut self.header
                }
            }
        )*
    };
}

records! {
    SignalGenerated = SIGNAL_GENERATED,
    SignalDelivered = SIGNAL_DELIVERED,
    ProcessForked = PROCESS_FORKED,
    ProcessExecuted = PROCESS_EXECUTED,
    ProcessExited = PROCESS_EXITED,
    OomVictim = OOM_VICTIM,
    SocketState = SOCKET_STATE,
    SocketAfterClose = SOCKET_STATE,
    SocketReset = SOCKET_RESET,
    SocketRefused = SOCKET_REFUSED,
    Cgroup = CGROUP,
}
