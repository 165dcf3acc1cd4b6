/// The octets of one log file, searched for records.
struct LogScan {
    let bytes: UnsafeRawBufferPointer
    /// Position of the record at the end of the header.
    let firstPosition: UInt64
    let seed: UInt32

    /// What lies behind a place where no record is.
    struct Survey {
        /// Where the last record begins that proves everything before it synced.
        var lastStart: Int?
        /// Where the last record ends.
        var end: Int?
    }

    /// The position of a record at an offset.
    func position(at offset: Int) -> UInt64 {
        self.firstPosition &+ UInt64(offset - LogFileHeader.size)
    }

    /// The record at an offset.
    func record(at offset: Int) -> RecordHead? {
        RecordFormat.record(self.bytes, at: offset, position: self.position(at: offset), seed: self.seed)
    }

    /// Octets that a record at an offset claims, if its head is undamaged.
    func claimedSize(at offset: Int) -> Int? {
        RecordFormat.head(self.bytes, at: offset, position: self.position(at: offset), seed: self.seed)?.size
    }

    /// Where the next record begins, at or after an offset.
    func next(from offset: Int) -> Int? {
        var offset = offset
        while self.bytes.count - offset >= RecordFormat.headSize {
            if self.record(at: offset) != nil { return offset }
            offset += RecordFormat.alignment
        }
        return nil
    }

    /// Searches everything from an offset to the end.
    func survey(from offset: Int) -> Survey {
        var survey = Survey()
        var offset = offset
        while self.bytes.count - offset >= RecordFormat.headSize {
            guard let record = self.record(at: offset) else {
                offset += RecordFormat.alignment
                continue
            }
            if record.startsCommit { survey.lastStart = offset }
            offset += record.size
            survey.end = offset
        }
        return survey
    }
}
