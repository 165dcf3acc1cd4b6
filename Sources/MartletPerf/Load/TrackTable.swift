/// The sequence tracks of the queues whose consumers live on one event loop.
///
/// A class around raw memory, not an array of arrays: consumers of one queue share a row, and the message path must
/// neither copy nor count references.
final class TrackTable {
    /// What was found wrong in all rows together.
    struct Tally: Equatable, Sendable {
        var missing: UInt64 = 0
        var duplicated: UInt64 = 0
        var late: UInt64 = 0
        var foreign: UInt64 = 0
    }

    private let tracks: UnsafeMutableBufferPointer<SequenceTrack>
    private let publishers: Int
    private(set) var misnumbered: UInt64 = 0

    init(rows: Int, publishers: Int) {
        self.publishers = publishers
        self.tracks = .allocate(capacity: rows * publishers)
        self.tracks.initialize(repeating: SequenceTrack())
    }

    deinit {
        self.tracks.deinitialize()
        self.tracks.deallocate()
    }

    /// Notes that message `sequence` of `publisher` arrived at the queue of `row`.
    ///
    /// `row` is the caller's own; `publisher` comes from the server and is checked.
    @inline(__always)
    func receive(row: Int, publisher: Int, sequence: UInt64) -> SequenceTrack.Arrival {
        guard publisher < self.publishers else {
            self.misnumbered += 1
            return .foreign
        }
        return self.tracks[row * self.publishers + publisher].receive(sequence)
    }

    /// Numbers that arrived, in all rows.
    var distinct: UInt64 { self.tracks.reduce(0) { $0 + $1.distinct } }

    /// Sums up all rows.
    func tally() -> Tally {
        var tally = Tally(foreign: self.misnumbered)
        for track in self.tracks {
            tally.missing += track.missing
            tally.duplicated += track.duplicated
            tally.late += track.late
            tally.foreign += track.foreign
        }
        return tally
    }
}
