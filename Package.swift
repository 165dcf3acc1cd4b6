// swift-tools-version: 6.2
import PackageDescription

/// Settings shared by every target of ours.
///
/// Language mode 6 is implied by the tools version.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]

/// Settings of the targets on the per-message path.
///
/// Release builds drop the dynamic exclusivity checks; debug and test builds keep them.
let hotPath: [SwiftSetting] =
    strict + [
        .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
    ]

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet", targets: ["martlet"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        // Without its JSON reader, which needs all of Foundation: see Sources/martlet/ConfigurationFile.swift.
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
    ],
    targets: [
        // MARK: Protocol: bytes to values, values to bytes.
        .target(name: "AMQPProtocol", swiftSettings: hotPath),

        // MARK: Core: the broker as a deterministic state machine.
        .target(
            name: "BrokerCore",
            dependencies: ["AMQPProtocol", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: hotPath
        ),

        // MARK: Store: what survives a restart.
        .target(name: "CChecksum"),
        .target(name: "BrokerStore", dependencies: ["CChecksum"], swiftSettings: hotPath),

        .target(name: "CMalloc"),

        // MARK: Command line: what `martlet ctl` and the broker say to each other, and the client.
        .target(name: "PlainJSON", swiftSettings: strict),
        .target(name: "MartletCtl", dependencies: ["PlainJSON"], swiftSettings: strict),

        // MARK: Server: sockets, TLS, event loops.
        .target(
            name: "BrokerServer",
            dependencies: [
                "AMQPProtocol", "BrokerCore", "BrokerStore", "CMalloc", "PlainJSON",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: hotPath
        ),

        // MARK: Executables.
        .executableTarget(
            name: "martlet",
            dependencies: [
                "BrokerServer", "MartletCtl", "MartletPerf",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "MartletPerf",
            dependencies: [
                "AMQPProtocol",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: hotPath
        ),
        .executableTarget(name: "specgen", swiftSettings: strict),

        // MARK: Test support.
        .target(name: "CAllocationCounter"),
        .executableTarget(
            name: "AllocationBudgets",
            dependencies: ["AMQPProtocol", "BrokerCore", "CAllocationCounter"],
            swiftSettings: hotPath
        ),
        .target(
            name: "BrokerSimulation",
            dependencies: ["BrokerCore", "BrokerStore", "AMQPProtocol"],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "martlet-sim",
            dependencies: [
                "BrokerSimulation",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),

        // MARK: Tests, one per library, plus two that cut across.
        .testTarget(
            name: "AMQPProtocolTests",
            dependencies: ["AMQPProtocol"],
            exclude: ["Fixtures"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "BrokerCoreTests",
            dependencies: ["BrokerCore", "AMQPProtocol", "BrokerSimulation"],
            swiftSettings: strict
        ),
        .testTarget(name: "BrokerStoreTests", dependencies: ["BrokerStore", "CChecksum"], swiftSettings: strict),
        .testTarget(
            name: "BrokerServerTests",
            dependencies: [
                "BrokerServer", "BrokerCore", "BrokerSimulation", "AMQPProtocol", "PlainJSON",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            resources: [.copy("Fixtures")],
            swiftSettings: strict
        ),
        .testTarget(name: "PlainJSONTests", dependencies: ["PlainJSON"], swiftSettings: strict),
        .testTarget(
            name: "MartletCtlTests",
            dependencies: [
                "MartletCtl", "PlainJSON", "BrokerServer",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "MartletTests",
            dependencies: [
                "martlet", "BrokerServer",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "MartletPerfTests",
            dependencies: [
                "MartletPerf", "AMQPProtocol",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SimulationTests",
            dependencies: ["BrokerSimulation", "BrokerCore", "AMQPProtocol"],
            swiftSettings: strict
        ),
        .testTarget(name: "SpecTests", dependencies: ["AMQPProtocol"], swiftSettings: strict),
    ]
)
