import Testing

@testable import MartletPerf

@Suite struct SequenceTrackTests {
    private func track(_ numbers: some Sequence<UInt64>) -> SequenceTrack {
        var track = SequenceTrack()
        for number in numbers {
            track.receive(number)
        }
        return track
    }

    private func figures(_ track: SequenceTrack) -> [UInt64] {
        [track.distinct, track.missing, track.late, track.duplicated, track.foreign]
    }

    @Test(
        arguments: [
            ([], [0, 0, 0, 0, 0]),
            ([0, 1, 2, 3], [4, 0, 0, 0, 0]),
            // One lost, known as soon as a later one comes.
            ([0, 1, 3], [3, 1, 0, 0, 0]),
            ([1], [1, 1, 0, 0, 0]),
            // One overtaken.
            ([0, 2, 1, 3], [4, 0, 1, 0, 0]),
            ([2, 1, 0], [3, 0, 2, 0, 0]),
            // Twice the same, without, within and behind a gap.
            ([0, 1, 1, 2], [3, 0, 0, 1, 0]),
            ([0, 3, 3], [2, 2, 0, 1, 0]),
            ([0, 3, 0], [2, 2, 0, 1, 0]),
            ([0, 2, 1, 1, 3, 0], [4, 0, 1, 2, 0]),
            // A number no publisher of ours can have reached.
            ([0, 1 << 40, 1], [2, 0, 0, 0, 1]),
        ] as [([UInt64], [UInt64])]
    )
    func judges(numbers: [UInt64], figures: [UInt64]) {
        #expect(self.figures(self.track(numbers)) == figures)
    }

    @Test func tellsEachArrival() {
        var track = SequenceTrack()
        let arrivals = [0, 2, 1, 2, 1 << 50].map { track.receive($0) }
        #expect(arrivals == [.inOrder, .inOrder, .late, .duplicate, .foreign])
    }

    @Test func staysExactBehindALastingGap() {
        // Long enough that the bitmap grows and forgets many times.
        let track = self.track((0..<100_000 as Range<UInt64>).lazy.filter { $0 != 70 })
        #expect(self.figures(track) == [99_999, 1, 0, 0, 0])
    }

    @Test func agreesWithASetOverAnyShuffle() {
        var random = SplitMix(seed: 42)
        for round in 0..<50 {
            var numbers: [UInt64] = []
            for number in 0..<1000 as Range<UInt64> {
                switch random.next() % 20 {
                case 0: break
                case 1: numbers += [number, number]
                default: numbers.append(number)
                }
            }
            // Swaps over short distances, as among competing consumers.
            for index in numbers.indices.dropLast(200) {
                numbers.swapAt(index, index + Int(random.next() % 200))
            }
            let track = self.track(numbers)
            let distinct = Set(numbers)
            #expect(track.distinct == UInt64(distinct.count), "round \(round)")
            #expect(track.duplicated == UInt64(numbers.count - distinct.count), "round \(round)")
            #expect(track.next == (distinct.max() ?? 0) + 1, "round \(round)")
            var seen: Set<UInt64> = []
            var highest: UInt64 = 0
            var late: UInt64 = 0
            for number in numbers where seen.insert(number).inserted {
                late += number < highest ? 1 : 0
                highest = max(highest, number)
            }
            #expect(track.late == late, "round \(round)")
        }
    }

    @Test func keepsPublishersAndQueuesApart() {
        let table = TrackTable(rows: 2, publishers: 2)
        for row in 0..<2 {
            for publisher in 0..<2 {
                #expect(table.receive(row: row, publisher: publisher, sequence: 0) == .inOrder)
            }
        }
        #expect(table.receive(row: 1, publisher: 0, sequence: 2) == .inOrder)
        #expect(table.receive(row: 0, publisher: 1, sequence: 0) == .duplicate)
        #expect(table.receive(row: 0, publisher: 2, sequence: 0) == .foreign)
        #expect(table.tally() == .init(missing: 1, duplicated: 1, late: 0, foreign: 1))
        #expect(table.distinct == 5)
    }
}
