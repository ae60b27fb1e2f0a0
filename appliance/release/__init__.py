"""The release desk: what stations may make is proposed, approved by several people, and promoted."""
