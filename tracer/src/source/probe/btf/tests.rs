//! A small description made by hand, the running kernel's, and garbage.

use super::*;
use proptest::prelude::*;

const INT: u32 = 1;

/// Writes BTF type by type.
#[derive(Default)]
struct Maker {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Maker {
    fn new() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).expect("small");
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    /// A type and the words that follow it; its id.
    fn add(&mut self, name: &str, info: u32, size_or_type: u32, more: &[u32]) -> u32 {
        let name = self.name(name);
        for word in [name, info, size_or_type].iter().chain(more) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    /// A struct or union of (name, type, bit offset).
    fn composite(&mut self, name: &str, kind: u32, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<u32> =
            members.iter().flat_map(|(name, type_id, bits)| [self.name(name), *type_id, *bits]).collect();
        let length = u32::try_from(members.len()).expect("small");
        self.add(name, kind << 24 | length, size, &words)
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0]);
        let (types, strings) = (self.types.len(), self.strings.len());
        for word in [24, 0, types, types, strings] {
            bytes.extend_from_slice(&u32::try_from(word).expect("small").to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

/// `struct outer { u32 first; union { struct { u32 a; void *b; }; u32 other; }; u32 bits:3; inner_t named; }`
/// and a tracepoint `(void *, struct outer *, u32)`.
fn sample() -> Vec<u8> {
    let mut maker = Maker::new();
    let int = maker.add("u32", INT << 24, 4, &[32]);
    let pointer = maker.add("", PTR << 24, 0, &[]);
    let anonymous = maker.composite("", STRUCT, 16, &[("a", int, 0), ("b", pointer, 64)]);
    let choice = maker.composite("", UNION, 16, &[("", anonymous, 0), ("other", int, 0)]);
    let inner = maker.composite("inner", STRUCT, 8, &[("x", int, 0), ("y", int, 32)]);
    let constant = maker.add("", CONST << 24, inner, &[]);
    let alias = maker.add("inner_t", TYPEDEF << 24, constant, &[]);
    let bit_field = 3 << 24 | 0xc0;
    let members = [("first", int, 0), ("", choice, 64), ("bits", int, bit_field), ("named", alias, 224)];
    maker.composite("outer", 1 << 7 | STRUCT, 36, &members);
    let prototype = maker.add("", FUNC_PROTO << 24 | 3, 0, &[0, pointer, 0, pointer, 0, int]);
    let function = maker.add("", PTR << 24, prototype, &[]);
    maker.add("btf_trace_happened", TYPEDEF << 24, function, &[]);
    maker.add("btf_trace_broken", TYPEDEF << 24, int, &[]);
    let itself = maker.count + 1;
    maker.add("btf_trace_circle", TYPEDEF << 24, itself, &[]);
    maker.finish()
}

#[test]
fn finds_members_also_in_anonymous_ones_and_behind_typedefs() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).expect("well-formed");
    let offset = |path| btf.member("outer", path).map(|member| (member.offset, member.is_pointer));
    assert_eq!(offset("first"), Some((0, false)));
    assert_eq!(offset("a"), Some((8, false)));
    assert_eq!(offset("b"), Some((16, true)));
    assert_eq!(offset("other"), Some((8, false)));
    assert_eq!(offset("named.y"), Some((32, false)));
    assert_eq!(offset("bits"), None, "a bit field has no byte offset");
    assert_eq!(offset("named.z"), None);
    assert_eq!(offset("first.x"), None);
    assert_eq!(btf.member("nobody", "x"), None);
    assert_eq!(btf.size_of("inner"), Some(8));
}

#[test]
fn tells_the_arguments_of_tracepoints() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).expect("well-formed");
    assert_eq!(btf.tracepoint("happened"), Some(Arguments { count: 2, first_is_pointer: true }));
    assert_eq!(btf.tracepoint("broken"), None);
    assert_eq!(btf.tracepoint("circle"), None);
    assert_eq!(btf.tracepoint("absent"), None);
}

#[test]
fn tracepoints_alone_keep_their_numbers() {
    let bytes = std::fs::read(VMLINUX).expect("a kernel with BTF");
    for (bytes, names) in [(sample(), ["happened", "broken"]), (bytes, ["inet_sock_set_state", "signal_generate"])] {
        let whole = Btf::parse(&bytes).expect("BTF");
        let alone = whole.of_tracepoints(&[names[0], "absent", names[1]]);
        let alone = Btf::parse(&alone).expect("BTF");
        assert_eq!((alone.tracepoints.len(), alone.structs.len()), (2, 0));
        for name in names {
            assert_eq!(alone.tracepoints.get(name.as_bytes()), whole.tracepoints.get(name.as_bytes()));
        }
        assert_eq!(Btf::parse(&whole.of_tracepoints(&["absent"])).expect("BTF").types.len(), 0);
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let mut bytes = sample();
    assert_eq!(Btf::parse(&[]).map(|_| ()), Err(BtfError::Truncated(0)));
    assert_eq!(Btf::parse(&bytes[..100]).map(|_| ()).map_err(|_| ()), Err(()));
    bytes[24 + 7] = 30;
    assert_eq!(Btf::parse(&bytes).map(|_| ()), Err(BtfError::UnknownKind(30)));
    bytes[0] ^= 1;
    assert_eq!(Btf::parse(&bytes).map(|_| ()), Err(BtfError::NotBtf));
}

#[test]
fn reads_the_running_kernels() {
    let bytes = std::fs::read(VMLINUX).expect("a kernel with BTF");
    let btf = Btf::parse(&bytes).expect("BTF");
    assert_eq!(btf.tracepoint("signal_generate"), Some(Arguments { count: 5, first_is_pointer: false }));
    assert_eq!(btf.tracepoint("sched_process_fork"), Some(Arguments { count: 2, first_is_pointer: true }));
    assert_eq!(btf.member("sock", "__sk_common.skc_family").map(|member| member.offset), Some(16));
    assert_eq!(btf.member("sigaction", "sa_handler").map(|member| member.offset), Some(0));
}

proptest! {
    #[test]
    fn never_panics_on_a_damaged_file(at in 0_usize..400, byte: u8, cut in 0_usize..800) {
        let mut bytes = sample();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length.min(cut.max(at)));
        if let Ok(btf) = Btf::parse(&bytes) {
            for path in ["first", "b", "named.y", "bits"] {
                let _ = btf.member("outer", path);
            }
            let _ = (btf.tracepoint("happened"), btf.tracepoint("circle"), btf.size_of("inner"));
        }
    }
}
