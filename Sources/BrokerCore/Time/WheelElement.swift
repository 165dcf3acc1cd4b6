/// Something with a deadline that a ``TimerWheel`` keeps.
protocol WheelElement: BitwiseCopyable {
    /// Milliseconds; of which clock is the owner's business.
    var deadline: UInt64 { get set }

    /// Whether it comes before another one: by deadline, then by what makes it unique.
    func precedes(_ other: Self) -> Bool
}

extension Array where Element: WheelElement {
    /// Moves an element of a binary heap down to where it belongs.
    mutating func sink(_ start: Int) {
        var index = start
        while true {
            var child = 2 * index + 1
            guard child < self.count else { return }
            if child + 1 < self.count && self[child + 1].precedes(self[child]) { child += 1 }
            guard self[child].precedes(self[index]) else { return }
            self.swapAt(child, index)
            index = child
        }
    }
}
