"""Training scripts and notebooks: read as syntax trees and followed without executing them."""
