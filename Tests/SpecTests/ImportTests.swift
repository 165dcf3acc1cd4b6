import Testing

/// The dependency picture of the design, checked against the import lines.
@Suite struct ImportTests {
    @Test func everyImportFollowsTheDesign() {
        let files = PackageTree.swiftFiles(in: "Sources")
        #expect(files.contains { $0.target == "AMQPProtocol" }, "the sources were not found")
        for file in files {
            for module in ImportRules.imports(in: file.text) {
                if let objection = ImportRules.objection(toImporting: module, in: file.target) {
                    Issue.record("\(file.path): \(objection)")
                }
            }
        }
    }

    @Test(arguments: [
        ("AMQPProtocol", "Foundation"), ("AMQPProtocol", "NIOCore"), ("AMQPProtocol", "BrokerCore"),
        ("AMQPProtocol", "Synchronization"), ("BrokerCore", "FoundationEssentials"), ("BrokerCore", "NIOCore"),
        ("BrokerCore", "Synchronization"), ("BrokerCore", "BrokerServer"), ("BrokerServer", "MartletPerf"),
        ("BrokerServer", "Foundation"), ("BrokerServer", "BrokerManagement"), ("BrokerManagement", "NIOCore"),
        ("BrokerManagement", "BrokerServer"), ("MartletPerf", "BrokerCore"), ("specgen", "AMQPProtocol"),
        ("martlet", "NIOPosix"), ("MartletCtl", "BrokerCore"), ("BrokerServer", "Hummingbird"),
        ("SomethingNew", "Glibc"),
    ])
    func objectsToEdgesThatPointUp(_ target: String, _ module: String) {
        #expect(ImportRules.objection(toImporting: module, in: target) != nil)
    }

    @Test(arguments: [
        ("BrokerCore", "AMQPProtocol"), ("BrokerCore", "DequeModule"), ("BrokerServer", "NIOSSL"),
        ("BrokerServer", "BrokerCore"), ("MartletPerf", "Foundation"), ("martlet", "BrokerServer"),
        ("BrokerManagement", "Hummingbird"),
    ])
    func allowsEdgesThatPointDown(_ target: String, _ module: String) {
        #expect(ImportRules.objection(toImporting: module, in: target) == nil)
    }

    @Test func readsEveryFormOfImport() {
        let source = """
            import A
            public import B
            @preconcurrency internal import C
            @testable import D
            import struct E.Inner
            import F.Sub
              import G; let x = 1
            // import H
            let text = "import I"
            let important = 1
            """
        #expect(ImportRules.imports(in: source) == ["A", "B", "C", "D", "E", "F", "G"])
    }
}
