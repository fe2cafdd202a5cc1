//! Owns the tests of a folder as a disk, whatever is written to it.

use super::*;

#[test]
fn a_file_is_as_long_as_what_is_in_it() {
    let path = tempfile::tempdir().unwrap();
    let folder = Folder::open(path.path()).unwrap();
    let (segment, run) = (LogFile::Segment(1), LogFile::Run(1));
    let there = |name| fs::metadata(file(path.path(), name)).unwrap().len();
    for name in [segment, run] {
        folder.create(name).unwrap();
        for at in 0..5 {
            folder.write(name, at * 100, &[1; 100]).unwrap();
        }
        assert_eq!(folder.len(name).unwrap(), 500);
    }
    assert!(there(segment) > 500, "there is room");
    assert_eq!(there(run), 500, "a run is written once");
    folder.truncate(segment, 450).unwrap();
    assert_eq!((folder.len(segment).unwrap(), there(segment)), (450, 450));
    folder.write(segment, 450, &[2; 100]).unwrap();
    folder.write(segment, 550, &[3; 100]).unwrap();
    let mut bytes = [0; 650];
    folder.read(segment, 0, &mut bytes).unwrap();
    assert_eq!((&bytes[440..460], &bytes[640..]), (&[[1; 10], [2; 10]].concat()[..], &[3; 10][..]));
    assert_eq!(folder.len(segment).unwrap(), 650);
    // Who writes much at once has nothing of room.
    folder.write(segment, 650, &vec![4; 1 << 20]).unwrap();
    assert_eq!(there(segment), 650 + (1 << 20));
    // What is gone has no room behind it, nor has what is begun again.
    folder.remove(segment).unwrap();
    folder.create(segment).unwrap();
    assert_eq!((folder.len(segment).unwrap(), there(segment)), (0, 0));
}
