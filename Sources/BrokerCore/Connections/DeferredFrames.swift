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

    /// Adds the frame around a payload, which lies between its header and its end; returns the frame's size.
    @discardableResult
    mutating func append(_ payload: UnsafeRawBufferPointer) -> Int {
        guard let base = payload.baseAddress else { return 0 }
        let size = payload.count + FrameLimits.frameOverheadBytes
        self.makeRoom()
        self.bytes.append(
            contentsOf: UnsafeRawBufferPointer(start: base - FrameLimits.frameHeaderBytes, count: size)
        )
        return size
    }

    /// Adds frames that come behind these.
    mutating func append(_ frames: DeferredFrames) {
        self.makeRoom()
        self.bytes.append(contentsOf: frames.bytes[frames.head...])
    }

    private mutating func makeRoom() {
        if self.head > self.bytes.count / 2 {
            self.bytes.removeFirst(self.head)
            self.head = 0
        }
    }

    /// Looks at the first frame's header and payload; there must be one.
    func withFirst<Result>(_ body: (FrameHeader, UnsafeRawBufferPointer) -> Result) -> Result {
        precondition(self.count >= FrameLimits.frameOverheadBytes, "no frame waits")
        return self.bytes.withUnsafeBytes { bytes in
            let frame = UnsafeRawBufferPointer(rebasing: bytes[self.head...])
            let header = FrameHeader.read(from: frame.baseAddress.unsafelyUnwrapped)
            let end = FrameLimits.frameHeaderBytes + Int(header.size)
            return body(header, UnsafeRawBufferPointer(rebasing: frame[FrameLimits.frameHeaderBytes..<end]))
        }
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
