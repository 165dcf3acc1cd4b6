internal import AMQPProtocol

/// Whole frames of a channel that wait their turn, first in first out.
struct DeferredFrames {
    private var bytes: [UInt8] = []
    /// Where the first frame that waits begins; what lies before it is dropped at the end, not frame by frame.
    private var head = 0

    /// Octets that wait.
    var count: Int { self.bytes.count - self.head }

    /// Whether none waits.
    var isEmpty: Bool { self.count == 0 }

    /// Adds a whole frame.
    mutating func append(_ frame: UnsafeRawBufferPointer) {
        if self.head > self.bytes.count / 2 {
            self.bytes.removeFirst(self.head)
            self.head = 0
        }
        self.bytes.append(contentsOf: frame)
    }

    /// Takes the first frame out; there must be one.
    mutating func removeFirst() -> (header: FrameHeader, frame: [UInt8]) {
        precondition(self.count >= FrameLimits.frameOverheadBytes, "no frame waits")
        let header = self.bytes.withUnsafeBytes { bytes in
            FrameHeader.read(from: UnsafeRawPointer(bytes.baseAddress.unsafelyUnwrapped) + self.head)
        }
        let end = self.head + Int(header.size) + FrameLimits.frameOverheadBytes
        let frame = Array(self.bytes[self.head..<end])
        self.head = end
        if self.isEmpty {
            self = DeferredFrames()
        }
        return (header, frame)
    }
}
