use proptest::prelude::*;

use super::*;

/// `pickle.dumps(a, protocol=p)` for p = 2 to 5, NumPy 2.4, where
/// `a = numpy.empty(4, object); a[:] = [[1, 2, 300], [70000, 5], [], [9]]`.
const PICKLES: [&[u8]; 4] = [
    b"\x80\x02cnumpy._core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02c_codecs\nencode\nq\x03\
      X\x01\x00\x00\x00bq\x04X\x06\x00\x00\x00latin1q\x05\x86q\x06Rq\x07\x87q\x08Rq\t(K\x01K\x04\x85q\ncnumpy\ndtype\n\
      q\x0bX\x02\x00\x00\x00O8q\x0c\x89\x88\x87q\rRq\x0e(K\x03X\x01\x00\x00\x00|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\
      \xffK?tq\x10b\x89]q\x11(]q\x12(K\x01K\x02M,\x01e]q\x13(Jp\x11\x01\x00K\x05e]q\x14]q\x15K\taetq\x16b.",
    b"\x80\x03cnumpy._core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02C\x01bq\x03\x87q\x04Rq\
      \x05(K\x01K\x04\x85q\x06cnumpy\ndtype\nq\x07X\x02\x00\x00\x00O8q\x08\x89\x88\x87q\tRq\n(K\x03X\x01\x00\x00\x00|q\
      \x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tq\x0cb\x89]q\r(]q\x0e(K\x01K\x02M,\x01e]q\x0f(Jp\x11\x01\x00K\x05e]q\
      \x10]q\x11K\taetq\x12b.",
    b"\x80\x04\x95\xa7\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\
      \x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x04\x85\x94h\x03\x8c\x05\
      dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\
      \x94b\x89]\x94(]\x94(K\x01K\x02M,\x01e]\x94(Jp\x11\x01\x00K\x05e]\x94]\x94K\taet\x94b.",
    b"\x80\x05\x95\xa7\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\
      \x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x04\x85\x94h\x03\x8c\x05\
      dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\
      \x94b\x89]\x94(]\x94(K\x01K\x02M,\x01e]\x94(Jp\x11\x01\x00K\x05e]\x94]\x94K\taet\x94b.",
];

/// As protocol 4 above, of `numpy.array([[1, 2], [3, 4]], dtype=object)`.
const TABLE: &[u8] =
    b"\x80\x04\x95\x94\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\
      \x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02K\x02\x86\x94h\x03\x8c\
      \x05dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff\
      K?t\x94b\x89]\x94(K\x01K\x02K\x03K\x04et\x94b.";

fn lists(rows: &Rows) -> Vec<&[u32]> {
    (0..rows.len()).map(|row| rows.row(row)).collect()
}

/// A pickle of protocol 4 whose list is written by `list`.
fn around(list: &[u8]) -> Vec<u8> {
    let end = PICKLES[2].iter().position(|&byte| byte == b']').unwrap();
    [&PICKLES[2][..end], list, b"t\x94b."].concat()
}

#[test]
fn every_protocol_and_spelling_gives_the_lists() {
    for pickle in PICKLES {
        let rows = read_rows(pickle, &[4]).unwrap();
        assert_eq!(lists(&rows), [&[1, 2, 300][..], &[70000, 5], &[], &[9]]);
    }
    let old = PICKLES[1].to_vec();
    let at = old.windows(5).position(|bytes| bytes == b"_core").unwrap();
    let old = [&old[..at], &old[at + 1..]].concat();
    assert_eq!(lists(&read_rows(&old, &[4]).unwrap())[1], [70000, 5]);
}

#[test]
fn lists_of_one_length_are_a_table() {
    assert_eq!(lists(&read_rows(TABLE, &[2, 2]).unwrap()), [&[1, 2][..], &[3, 4]]);
    assert!(read_rows(TABLE, &[4]).is_err());
    assert!(read_rows(TABLE, &[2, 3]).is_err());
}

#[test]
fn a_long_list_comes_in_batches_and_a_list_can_stand_twice() {
    let mut list = b"](](".to_vec();
    list.extend((0..1000).flat_map(|_| *b"M\x01\x01"));
    list.extend(b"e(K\x07K\x08eK\x09ae");
    assert_eq!(read_rows(&around(&list), &[1]).unwrap().row(0)[998..], [257, 257, 7, 8, 9]);
    let twice = read_rows(&around(b"](](K\x05K\x06e\x94h\x0eh\x0ee"), &[3]);
    assert!(twice.is_err(), "memo 14 is the outer list's neighbour only where it was stored");
    let twice = read_rows(&around(b"](](K\x05K\x06er\xff\xff\x00\x00j\xff\xff\x00\x00e"), &[2]).unwrap();
    assert_eq!(lists(&twice), [[5, 6], [5, 6]]);
}

#[test]
fn nothing_is_run_and_what_is_not_a_list_of_numbers_is_refused() {
    let evil = b"\x80\x02cposix\nsystem\nX\x06\x00\x00\x00reboot\x85R.";
    let error = read_rows(evil, &[1]).unwrap_err();
    assert!(error.contains("posix.system") && error.contains("nothing was run"), "{error}");
    for list in [&b"](N(e"[..], b"](](K\x01ee(", b"](J\xff\xff\xff\xffe", b"](](Neeee", b"]\x94(h\x0de"] {
        assert!(read_rows(&around(list), &[1]).is_err(), "{list:?}");
    }
    let negative = read_rows(&around(b"](](J\xff\xff\xff\xffee"), &[1]).unwrap_err();
    assert!(negative.contains("-1"), "{negative}");
    let huge = read_rows(&around(b"](](\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01ee"), &[1]).unwrap_err();
    assert!(huge.contains("too large"), "{huge}");
}

#[test]
fn lengths_that_lie_are_only_compared() {
    assert!(read_rows(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", &[1]).is_err());
    assert!(read_rows(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", &[usize::MAX]).is_err());
    assert!(read_rows(PICKLES[0], &[usize::MAX]).unwrap_err().contains("4 lists"));
    assert!(read_rows(&[b"\x80\x04", &b"]0".repeat(100)[..]].concat(), &[1]).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_rows(&bytes, &[4]);
        let _ = read_rows(&around(&bytes), &[4]);
    }

    #[test]
    fn damaged_pickles_never_panic(which in 0..4_usize, at in any::<usize>(), byte in any::<u8>(), end in any::<usize>()) {
        let mut bytes = PICKLES[which].to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read_rows(&bytes, &[4]);
        let end = end % PICKLES[which].len();
        prop_assert!(read_rows(&PICKLES[which][..end], &[4]).is_err());
    }

    #[test]
    fn every_number_survives(rows in proptest::collection::vec(proptest::collection::vec(any::<u32>(), 0..50), 0..20)) {
        let mut list = b"](".to_vec();
        for row in &rows {
            list.extend(b"](");
            for &id in row {
                match id {
                    0..=0xff => list.extend([b'K', id as u8]),
                    0x100..=0xffff => { list.push(b'M'); list.extend((id as u16).to_le_bytes()) }
                    0x1_0000..=0x7fff_ffff => { list.push(b'J'); list.extend(id.to_le_bytes()) }
                    _ => { list.extend([0x8a, 5]); list.extend(id.to_le_bytes()); list.push(0) }
                }
            }
            list.push(b'e');
        }
        list.push(b'e');
        let read = read_rows(&around(&list), &[rows.len()]).unwrap();
        prop_assert_eq!(lists(&read), rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}
